"""Everything made at run time is for its owner only, also under umask 000."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_tasks.installation.storage.files import published_folder, write_json
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.installation.storage.private import make_private


def open_to_others(root: Path) -> list[Path]:
    return [one for one in [root, *root.rglob("*")] if not one.is_symlink() and one.stat().st_mode & 0o077]


@pytest.fixture
def no_mask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_what_lies_there_is_closed(tmp_path: Path, no_mask):
    (tmp_path / "var" / "runs" / "x").mkdir(parents=True)
    (tmp_path / "var" / "runs" / "x" / "table.parquet").touch()
    (tmp_path / "outside").touch()
    (tmp_path / "var" / "link").symlink_to(tmp_path / "outside")
    assert make_private(tmp_path / "var") == 4
    assert open_to_others(tmp_path / "var") == []
    assert (tmp_path / "outside").stat().st_mode & 0o777 == 0o666  # what a link leads to is not ours
    assert make_private(tmp_path / "var") == 0


def test_files_and_folders_published_there_are_closed(cxr_home: Path, no_mask):
    cxr_home.mkdir(mode=0o700)
    write_json(cxr_home / "latest.json", {})
    with published_folder(cxr_home / "1") as aside:
        (aside / "x").write_text("")
    assert [one.stat().st_mode & 0o077 for one in (cxr_home / "latest.json", cxr_home / "1")] == [0, 0]


def test_files_elsewhere_can_be_read_as_before(cxr_home: Path, tmp_path: Path):
    write_json(tmp_path / "golden.json", {})
    assert (tmp_path / "golden.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("module", ["cxr_tasks.stack", "cxr_tasks.cli"])
def test_commands_leave_nothing_open(cxr_home: Path, module: str):
    """``down`` makes the lock of the stack; ``models`` a home for a user who has none."""
    code = (
        "from cxr_tasks.stack.__main__ import main; main(['down'])"
        if module == "cxr_tasks.stack"
        else "from cxr_tasks.cli.main import main; main(['models'])"
    )
    subprocess.run(
        [sys.executable, "-c", f"import os; os.umask(0); {code}"],
        env={**os.environ, "CXR_HOME": str(cxr_home), "HOME": "/nowhere", "PYTHONPATH": str(PROJECT_ROOT)},
        cwd=cxr_home.parent,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert cxr_home.is_dir()
    assert open_to_others(cxr_home) == []
