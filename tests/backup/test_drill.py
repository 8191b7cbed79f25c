"""The drill: everything made at run time is destroyed, and comes back from one file, here and under another path."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tarfile
import threading
from pathlib import Path

import pytest

from cxr_tasks.backup.archive import write_backup
from cxr_tasks.backup.manifest import SEALED
from cxr_tasks.backup.reading import check_backup
from cxr_tasks.backup.restore import restore_backup
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.installation.logins import read_key
from cxr_tasks.installation.patient_keys import patient_secret
from cxr_tasks.registry.audit import trail
from serving.served.state import read_state
from tests.backup.filled_home import PASSPHRASE, fill, restore_elsewhere


def contents(home: Path, *skipped: str) -> dict[str, bytes]:
    """Name -> bytes, databases as their rows."""
    found = {}
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        if not path.is_file() or name.startswith(skipped) or name.endswith(("-wal", "-shm")):
            continue
        found[name] = path.read_bytes()
        if path.suffix == ".db":
            with contextlib.closing(sqlite3.connect(path)) as database:
                found[name] = repr(database.execute("SELECT * FROM rows").fetchall()).encode()
    return found


NOT_KEPT = ("stack/", "synthetic/", "requests/")


def test_destroyed_and_restored(cxr_home: Path, tmp_path: Path):
    fill(cxr_home)
    before = contents(cxr_home, *NOT_KEPT)
    file = tmp_path / "backup.tar.gz"
    manifest = write_backup(file, passphrase=PASSPHRASE)
    assert file.stat().st_mode & 0o777 == 0o600
    assert set(manifest.left_out) == {"stack", "synthetic", "requests"}
    assert check_backup(file).files == manifest.files
    shutil.rmtree(cxr_home)
    restored = restore_backup(file, passphrase=PASSPHRASE)
    assert restored.with_secrets
    assert contents(cxr_home) == before
    assert trail.verify() == []
    assert read_state("cxr_binary").stable == 1
    assert not [one for one in cxr_home.rglob("*") if one.stat().st_mode & 0o077]


def test_restored_under_another_path(cxr_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fill(cxr_home)
    before, key = contents(cxr_home, *NOT_KEPT), patient_secret()
    write_backup(tmp_path / "backup.tar.gz", passphrase=PASSPHRASE)
    shutil.rmtree(cxr_home)
    monkeypatch.setenv("CXR_HOME", str(tmp_path / "another disk" / "my var"))
    restore_backup(tmp_path / "backup.tar.gz", passphrase=PASSPHRASE)
    assert contents(tmp_path / "another disk" / "my var") == before
    assert patient_secret() == key
    assert trail.verify() == []


def test_databases_are_copied_consistently_while_they_are_written(cxr_home: Path, tmp_path: Path):
    """Each transaction writes two equal rows: a copy with an odd number was taken in the middle of one."""
    fill(cxr_home)
    path, stop, written = cxr_home / "mlflow" / "mlflow.db", threading.Event(), []

    def write() -> None:
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
            while not stop.is_set():
                with database:
                    database.executemany("INSERT INTO rows VALUES (?)", [(-1,), (-1,)])
                written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(written) < 5:
            stop.wait(0.01)
        for number in range(3):
            write_backup(tmp_path / f"{number}.tar.gz", passphrase=None)
    finally:
        stop.set()
        writer.join()
    for number in range(3):
        with tarfile.open(tmp_path / f"{number}.tar.gz") as archive:
            archive.extract("mlflow/mlflow.db", tmp_path / str(number), filter="data")
        with contextlib.closing(sqlite3.connect(tmp_path / str(number) / "mlflow" / "mlflow.db")) as database:
            (n_rows,) = database.execute("SELECT COUNT(*) FROM rows WHERE number = -1").fetchone()
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert n_rows >= 10
        assert n_rows % 2 == 0


def test_log_of_an_open_database_is_in_its_copy_and_not_beside_it(cxr_home: Path, tmp_path: Path):
    """Also of a database that no list names: what was asked of its writer is there, in one file."""
    fill(cxr_home)
    with contextlib.closing(sqlite3.connect(cxr_home / "ingest" / "x.db")) as database:
        with database:
            database.execute("INSERT INTO rows VALUES (-7)")
        assert (cxr_home / "ingest" / "x.db-wal").is_file()
        manifest = write_backup(tmp_path / "b.tar.gz", passphrase=None)
    assert not [name for name in manifest.files if name.endswith(("-wal", "-shm"))]
    restore_elsewhere(tmp_path / "b.tar.gz", None)
    assert b"(-7,)" in contents(tmp_path / "elsewhere")["ingest/x.db"]


def test_secrets_are_sealed_or_left_out_and_never_in_clear(cxr_home: Path, tmp_path: Path):
    fill(cxr_home)
    password = read_key(cxr_home / "secrets", "mlflow_admin_password").encode()
    write_backup(tmp_path / "with.tar.gz", passphrase=PASSPHRASE)
    manifest = write_backup(tmp_path / "without.tar.gz", passphrase=None)
    assert SEALED not in manifest.files
    assert "secrets" in manifest.left_out
    for name in ("with", "without"):
        with tarfile.open(tmp_path / f"{name}.tar.gz") as archive:
            for member in archive:
                stream = archive.extractfile(member)
                assert stream is None or password not in stream.read()
    with pytest.raises(ConfigurationError, match="the passphrase does not open the secrets"):
        restore_elsewhere(tmp_path / "with.tar.gz", "another passphrase")


def test_without_secrets_mlflows_logins_are_made_anew(cxr_home: Path, tmp_path: Path):
    """The old password is gone with the secrets: its database would refuse the new one."""
    fill(cxr_home)
    write_backup(tmp_path / "backup.tar.gz", passphrase=PASSPHRASE)
    restored = restore_elsewhere(tmp_path / "backup.tar.gz", None)
    assert not restored.with_secrets
    assert not (tmp_path / "elsewhere" / "mlflow" / "basic_auth.db").exists()
    assert not (tmp_path / "elsewhere" / "secrets").exists()
    assert (tmp_path / "elsewhere" / "mlflow" / "mlflow.db").is_file()


def test_datasets_left_out_are_known_by_fingerprint(cxr_home: Path, tmp_path: Path):
    fill(cxr_home)
    manifest = write_backup(tmp_path / "b.tar.gz", passphrase=None, without=frozenset({"datasets", "runs"}))
    assert manifest.datasets == {"kermany/ffff": "f" * 64}
    assert not [name for name in manifest.files if name.startswith(("datasets/", "runs/"))]
    assert {"datasets", "runs"} <= set(manifest.left_out)


def test_nothing_in_the_way_is_overwritten(cxr_home: Path, tmp_path: Path):
    fill(cxr_home)
    write_backup(tmp_path / "b.tar.gz", passphrase=PASSPHRASE)
    (cxr_home / "served" / "cxr_binary" / "1" / "saved_model.pb").write_bytes(b"newer")
    before = contents(cxr_home)
    with pytest.raises(ConfigurationError, match="or with --replace"):
        restore_backup(tmp_path / "b.tar.gz", passphrase=PASSPHRASE)
    assert contents(cxr_home) == before
    restored = restore_backup(tmp_path / "b.tar.gz", passphrase=PASSPHRASE, replace=True)
    assert restored.moved_aside is not None
    assert (restored.moved_aside / "served" / "cxr_binary" / "1" / "saved_model.pb").read_bytes() == b"newer"
    assert (cxr_home / "served" / "cxr_binary" / "1" / "saved_model.pb").read_bytes() == b"graph"
    assert (cxr_home / "requests" / "cxr_binary" / "0.tfrecord").is_file()  # not in the backup: left as it is


def test_only_databases_go_back_without_touching_the_rest(cxr_home: Path, tmp_path: Path):
    fill(cxr_home)
    write_backup(tmp_path / "b.tar.gz", passphrase=None, only_databases=True)
    with contextlib.closing(sqlite3.connect(cxr_home / "mlflow" / "mlflow.db")) as database, database:
        database.execute("DELETE FROM rows")
    restored = restore_backup(tmp_path / "b.tar.gz", passphrase=None, replace=True)
    assert set(restored.units) == {
        "mlflow/mlflow.db",
        "mlflow/basic_auth.db",
        "airflow/airflow.db",
        "worklist/requests.db",
    }
    assert contents(cxr_home)["mlflow/mlflow.db"] == repr([(number,) for number in range(100)]).encode()
    assert (cxr_home / "mlflow" / "artifacts" / "1" / "r" / "artifacts" / "model.keras").is_file()


def test_running_stack_is_not_restored_over(cxr_home: Path, tmp_path: Path):
    fill(cxr_home)
    write_backup(tmp_path / "b.tar.gz", passphrase=None)
    (cxr_home / "stack" / "settings.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="'make down' first"):
        restore_backup(tmp_path / "b.tar.gz", passphrase=None, replace=True)


def test_newer_database_is_not_given_to_an_older_program(cxr_home: Path, tmp_path: Path, monkeypatch):
    fill(cxr_home)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99.1.0")
    write_backup(tmp_path / "b.tar.gz", passphrase=None)
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match=r"made by apache-airflow-core 99\.1\.0, installed is"):
        restore_elsewhere(tmp_path / "b.tar.gz", None)


def test_broken_database_is_not_backed_up_as_if_whole(cxr_home: Path, tmp_path: Path):
    fill(cxr_home)
    path = cxr_home / "airflow" / "airflow.db"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    with pytest.raises(DataDefect, match=r"airflow\.db: expected a whole SQLite database"):
        write_backup(tmp_path / "b.tar.gz", passphrase=None)
    assert not (tmp_path / "b.tar.gz").exists()
    assert not list(tmp_path.glob(".b.tar.gz.*"))


def test_further_names_of_a_file_take_no_room_and_come_back(cxr_home: Path, tmp_path: Path):
    fill(cxr_home)
    first, second = cxr_home / "runs" / "x" / "a.js", cxr_home / "runs" / "y" / "a.js"
    first.write_bytes(b"script" * 10_000)
    second.parent.mkdir()
    second.hardlink_to(first)
    write_backup(tmp_path / "b.tar.gz", passphrase=PASSPHRASE)
    shutil.rmtree(cxr_home)
    restore_backup(tmp_path / "b.tar.gz", passphrase=PASSPHRASE)
    assert first.samefile(second)
    assert second.read_bytes() == b"script" * 10_000


def test_existing_file_is_not_overwritten(cxr_home: Path, tmp_path: Path):
    fill(cxr_home)
    (tmp_path / "b.tar.gz").write_text("an older backup")
    with pytest.raises(ConfigurationError, match="expected the name of a new file"):
        write_backup(tmp_path / "b.tar.gz", passphrase=None)
    assert read_text(tmp_path / "b.tar.gz") == "an older backup"


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_a_file_that_is_cut_while_it_is_copied_is_named(tmp_path: Path):
    from cxr_tasks.backup.entries import add_file
    from cxr_tasks.backup.manifest import Manifest

    cut = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not cut.is_file():
        pytest.skip(f"{cut}, which says that it is longer than it is, is not here")
    manifest = Manifest(made_at="", home="", commit=None, versions={})
    with (
        tarfile.open(tmp_path / "b.tgz", "w:gz") as archive,
        pytest.raises(DataDefect, match=f"{cut}: expected 4096 bytes, found fewer"),
    ):
        add_file(archive, cut, "audit/x", manifest, {})
    assert manifest.files == {}
