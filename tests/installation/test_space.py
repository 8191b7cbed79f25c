"""Full disks are told by folder; the disks are real, and small."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cxr_tasks.contracts.errors import DataDefect, DiskFull
from cxr_tasks.installation.storage.files import published_folder, write_text
from cxr_tasks.installation.storage.space import MIB, full_folder, require_space, room_for, shown


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run-time folder on a file system of 3 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "cxr-test", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system may not be mounted here")
    monkeypatch.setenv("CXR_HOME", str(folder / "var"))
    try:
        yield folder / "var"
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def write_plain(folder: Path) -> None:
    (folder / "x").write_bytes(b"0" * 4 * MIB)


def write_whole(folder: Path) -> None:
    write_text(folder / "x.txt", "0" * 4 * MIB)


def write_folder(folder: Path) -> None:
    with published_folder(folder / "x") as aside:
        (aside / "x").write_bytes(b"0" * 4 * MIB)


def write_table(folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"x": np.random.default_rng(0).random(MIB)})
    parquet.write_table(table, folder / "x.parquet")


def write_arrays(folder: Path) -> None:
    np.savez(folder / "x.npz", np.zeros(MIB))


def write_database(folder: Path) -> None:
    with sqlite3.connect(folder / "x.db") as connection:
        connection.execute("create table x (y blob)")
        connection.execute("insert into x values (?)", (b"0" * 4 * MIB,))


@pytest.mark.parametrize(
    "write", [write_plain, write_whole, write_folder, write_table, write_arrays, write_database]
)  # fmt: skip
def test_whatever_library_wrote_the_folder_is_named(small_disk: Path, write):
    small_disk.mkdir()
    with pytest.raises(DiskFull) as error, room_for("validating"):
        write(small_disk)
    assert str(small_disk) in str(error.value)
    assert "validating needs more than that" in str(error.value)
    assert "Make room" in str(error.value)


def test_too_little_to_begin_says_what_is_there_and_what_is_needed(small_disk: Path):
    with pytest.raises(DiskFull, match=r"var: 3\.0 MiB free there, validating needs about 16\.0 MiB; make room first"):
        require_space(small_disk, 16 * MIB, "validating")


def test_a_stack_is_not_begun_on_a_full_disk(small_disk: Path, capsys: pytest.CaptureFixture[str]):
    from cxr_tasks.stack.__main__ import main

    assert main(["up"]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"{small_disk}: 3.0 MiB free there, the stack needs about 128.0 MiB; make room first" in told
    assert not small_disk.exists()


def test_a_version_is_not_exported_to_a_full_disk(small_disk: Path):
    from cxr_tasks.contracts.handoffs.release import RegisteredModel
    from cxr_tasks.installation.storage.paths import RunPaths
    from serving.release.stage import prepare_release

    registered = RegisteredModel(model_name="cxr_binary", version=1, mlflow_run_id="a", alias="champion")
    with pytest.raises(DiskFull, match=rf"{small_disk}: 3\.0 MiB free there, exporting the version needs about 64\.0"):
        prepare_release(registered, RunPaths.for_run("cxr_release", "x"))


def test_ingest_and_validate_of_a_small_folder_on_a_full_disk(small_disk: Path):
    """The stages as the DAG calls them."""
    from cxr_tasks.contracts.recipes import load_recipe
    from cxr_tasks.ingest.stage import list_images
    from cxr_tasks.installation.storage.paths import RunPaths

    small_disk.mkdir()
    (small_disk / "filled").write_bytes(b"0" * (2 * MIB))
    with pytest.raises(DiskFull, match=rf"{small_disk}: 1\.0 MiB free there, listing the images needs about 2\.0 MiB"):
        list_images(load_recipe("kermany_cnn"), str(small_disk), RunPaths.for_run("cxr_dataset_binary", "x"))


def test_error_about_data_stays_what_it_is(cxr_home: Path):
    with pytest.raises(DataDefect, match="row 3"), room_for("validating"):
        raise DataDefect("row 3")


def test_other_errors_pass_with_room_left(cxr_home: Path):
    with pytest.raises(ZeroDivisionError), room_for("validating"):
        raise ZeroDivisionError


def test_reason_further_down_is_found(cxr_home: Path):
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", str(cxr_home / "runs" / "x.parquet"))
        except OSError as cause:
            raise RuntimeError("writing failed") from cause
    except RuntimeError as error:
        assert full_folder(error, (cxr_home,)) == cxr_home / "runs"


@pytest.mark.parametrize(("n_bytes", "text"), [(0, "0.0 MiB"), (3 * MIB, "3.0 MiB"), (5 * 1024 * MIB, "5.0 GiB")])
def test_sizes_for_a_person(n_bytes: int, text: str):
    assert shown(n_bytes) == text
