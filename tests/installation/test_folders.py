"""Folders with odd names, and users without a home."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.folders import require_holdable, settle_user_home
from cxr_tasks.installation.storage.paths import PROJECT_ROOT

#: What `make` needs before it installs anything.
BEFORE_INSTALL = (
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    "cxr_tasks/contracts",
    "cxr_tasks/installation",
    "cxr_tasks/stack",
)


def checkout_at(folder: Path) -> Path:
    for name in BEFORE_INSTALL:
        source, target = PROJECT_ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    (folder / "cxr_tasks" / "__init__.py").touch()
    return folder


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # As from a shell, also where these tests were started by make themselves.
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={**outside, "CXR_HOME": "", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("name", ["my project", "ä 肺", "a&b (1) [x] @2,=+!~", "it`s|<>^*"])
def test_names_that_the_stack_can_live_in(name: str):
    require_holdable(Path("/data") / name, "")
    require_holdable(Path("/data") / name / "var", "CXR_HOME")


@pytest.mark.parametrize("name", ["100%", "a;b", "a#b", "it's", 'a"b', "a{b", "a\\b", "$HOME", "why?", "a\nb", "a\x7f"])
def test_character_that_no_configuration_file_can_hold_is_named(name: str):
    odd = next(one for one in name if one in "%;#'\"{\\$?\n\x7f")
    with pytest.raises(ConfigurationError) as error:
        require_holdable(Path("/data") / name / "var", "CXR_HOME")
    assert f"{odd!r} in it" in str(error.value)
    assert "choose another folder (CXR_HOME)" in str(error.value)


@pytest.mark.parametrize("name", [" x", "x ", "\u00a0x"])
def test_spaces_that_configuration_files_cut_off_are_named(name: str):
    with pytest.raises(ConfigurationError, match="a space at its beginning or end|in it"):
        require_holdable(Path("/data") / name, "CXR_DAGS")


def test_colon_is_for_run_time_folders_only():
    require_holdable(Path("/data/a:b"), "CXR_HOME")
    with pytest.raises(ConfigurationError, match="':' in it"):
        require_holdable(Path("/data/a:b"), "")


@pytest.mark.parametrize("name", ["pro#ject", "a:b", "50%"])
def test_make_refuses_a_checkout_by_name_before_it_installs(tmp_path: Path, name: str):
    folder = checkout_at(tmp_path / name / "checkout")
    began = time.monotonic()
    done = make(folder, "up")
    assert done.returncode != 0
    assert f"has a name, {name!r}" in done.stderr
    assert "installing into" not in done.stdout
    assert not (folder / ".venv").exists()
    assert time.monotonic() - began < 30  # a second where nothing else runs; an installation takes minutes


@pytest.mark.parametrize("target", ["down", "status", "logs", "login"])
def test_looking_and_stopping_never_install(tmp_path: Path, target: str):
    folder = checkout_at(tmp_path / "my project")
    done = make(folder, target)
    assert "nothing is installed in .venv" in done.stdout + done.stderr
    assert not (folder / ".venv").exists()
    assert done.returncode == (0 if target == "down" else 2)


@pytest.mark.parametrize("target", ["down", "status", "logs", "login"])
def test_looking_and_stopping_use_the_environment_that_is_there(tmp_path: Path, target: str):
    """Also where requirements.lock has changed since: what runs was started with what is installed."""
    folder = checkout_at(tmp_path / "my project")
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "asked for: $*"\n')
    python.chmod(0o755)
    done = make(folder, target)
    assert (done.returncode, done.stdout.strip()) == (0, f"asked for: -m cxr_tasks.stack {target}")


def test_nothing_is_installed_under_a_stack_that_runs(tmp_path: Path):
    folder = checkout_at(tmp_path / "checkout")
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    (folder / "var" / "stack").mkdir(parents=True)
    (folder / "var" / "stack" / "settings.json").write_text("{}")
    done = make(folder, "up")
    assert done.returncode != 0
    assert "make upgrade" in done.stderr
    assert "installing into" not in done.stdout


def test_user_with_a_home_keeps_it(tmp_path: Path, cxr_home: Path):
    environment = {"HOME": str(tmp_path)}
    settle_user_home(environment)
    assert environment == {"HOME": str(tmp_path)}


@pytest.mark.parametrize("told", [None, "/nowhere", "/dev/null"])
def test_user_without_a_home_gets_one(told: str | None, cxr_home: Path, monkeypatch: pytest.MonkeyPatch):
    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    environment = {} if told is None else {"HOME": told}
    settle_user_home(environment)
    assert environment["HOME"] == str(cxr_home / "user")
    assert (cxr_home / "user").stat().st_mode & 0o777 == 0o700


def test_no_home_and_no_place_for_one_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CXR_HOME", str(tmp_path / "file" / "var"))
    with pytest.raises(ConfigurationError, match="set HOME, or CXR_HOME"):
        settle_user_home({"HOME": "/nowhere"})
