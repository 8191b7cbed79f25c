"""The drill on engines: real Postgres and a real S3 store are emptied, and come back from one file."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr_tasks.backup import postgres
from cxr_tasks.backup.archive import write_backup
from cxr_tasks.backup.reading import check_backup
from cxr_tasks.backup.restore import restore_backup
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, ServiceUnavailable
from cxr_tasks.installation.storage.objects import Bucket
from cxr_tasks.registry.audit import trail
from tests.docker import services

PASSPHRASE = "correct horse battery"
needs_engines = pytest.mark.skipif(
    bool(services.lacks_postgres() or services.lacks_store()),
    reason=f"needs {services.lacks_postgres() or services.lacks_store()}",
)
pytestmark = [pytest.mark.cluster, needs_engines, pytest.mark.timeout(900)]
OBJECTS = {
    "artifacts/1/r/artifacts/model.keras": b"weights" * 1000,
    "exports/cxr_binary/1.tar": b"archive",
    "artifacts/1/r/artifacts/card/a b.html": b"<p>card",
}


@pytest.fixture
def engines(cxr_home: Path, tmp_path: Path, monkeypatch) -> Iterator[dict[str, str]]:
    """Database -> address, of an installation with a table in each, objects in its bucket and an audit log."""
    passwords = {role: f"{secrets.token_urlsafe(9)}:\\'@ %" for role in dict.fromkeys(services.DATABASES.values())}
    with (
        services.postgres({role: one.replace("'", "''") for role, one in passwords.items()}) as port,
        services.seaweed(tmp_path / "seaweed") as (s3_port, credentials),
    ):
        from urllib.parse import quote

        found = {
            name: f"postgresql://{role}:{quote(passwords[role], safe='')}@127.0.0.1:{port}/{name}"
            for name, role in services.DATABASES.items()
        }
        folder = cxr_home / "secrets"
        folder.mkdir(parents=True, mode=0o700)
        for name, address in found.items():
            text = address.replace("postgresql:", "postgresql+psycopg2:") if name == "airflow" else address
            (folder / f"{'shared' if name == 'cxr' else name}_database").write_text(text)
        monkeypatch.setenv("CXR_DATABASE", "postgres")
        monkeypatch.setenv("CXR_BUCKET", services.BUCKET)
        for name, value in {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{s3_port}",
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        for address in found.values():
            run(address, "CREATE TABLE rows (number INTEGER, said TEXT)")
            run(address, "INSERT INTO rows SELECT one, 'ä;' || one FROM generate_series(1, 100) AS one")
        Bucket()._client.delete_object(Bucket=services.BUCKET, Key="probe")
        for key, content in {**OBJECTS, "logs/dag/task.log": b"log"}.items():
            Bucket().put(key, content)
        trail.record("registered", model="cxr_binary", version=1, who="dr.weber", why="first")
        (cxr_home / "served" / "cxr_binary" / "1").mkdir(parents=True)
        (cxr_home / "served" / "cxr_binary" / "1" / "saved_model.pb").write_bytes(b"graph")
        yield found


def run(address: str, statement: str) -> list:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        done = connection.execute(statement)
        return done.fetchall() if done.description else []


def rows(address: str, schema: str = "public") -> list:
    return run(address, f'SELECT * FROM "{schema}".rows ORDER BY number')


def lose(home: Path, engines: dict[str, str]) -> None:
    """The machines with databases, store and volume burn down; new ones are empty."""
    kept = {path.name: path.read_text() for path in (home / "secrets").iterdir()}
    shutil.rmtree(home)
    (home / "secrets").mkdir(parents=True)
    for name, text in kept.items():
        (home / "secrets" / name).write_text(text)
    for address in engines.values():
        run(address, "DROP SCHEMA public CASCADE")
        run(address, "CREATE SCHEMA public")
    bucket = Bucket()
    for key in bucket.listing():
        bucket._client.delete_object(Bucket=bucket.name, Key=key)


def test_all_comes_back(engines, cxr_home: Path, tmp_path: Path, monkeypatch):
    spy = tmp_path / "bin"
    spy.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (spy / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {spy}/seen\nexec {shutil.which(name)} "$@"\n')
        (spy / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy}{os.pathsep}{os.environ['PATH']}")
    file = tmp_path / "backup.tar.gz"
    manifest = write_backup(file, passphrase=PASSPHRASE)
    assert {one for one in manifest.units if one.startswith("postgres/")} == set(postgres.DUMPS.values())
    assert {f"bucket/{key}" for key in OBJECTS} == {one for one in manifest.files if one.startswith("bucket/")}
    assert check_backup(file).files == manifest.files
    lose(cxr_home, engines)
    restored = restore_backup(file, passphrase=None)
    assert restored.kept_as == ""
    for address in engines.values():
        assert rows(address) == [(one, f"ä;{one}") for one in range(1, 101)]
    assert {key: Bucket().get(key) for key in Bucket().listing()} == OBJECTS
    assert (cxr_home / "served" / "cxr_binary" / "1" / "saved_model.pb").read_bytes() == b"graph"
    assert trail.verify() == [] and [one.kind for one in trail.entries()] == ["registered"]
    trail.record("served", model="cxr_binary", version=1, who="airflow")  # numbers of rows go on
    assert trail.verify() == []
    seen = (spy / "seen").read_text()
    assert "--dbname=host='127.0.0.1'" in seen
    for address in engines.values():
        assert postgres.urlsplit(address).password not in seen
        assert postgres.unquote(postgres.urlsplit(address).password) not in seen
    assert not list(tmp_path.glob(".cxr-*")) and not list(cxr_home.glob(".restore-*"))


def test_what_is_there_is_not_touched_unless_asked_and_then_kept(engines, cxr_home: Path, tmp_path: Path):
    file = tmp_path / "backup.tar.gz"
    write_backup(file, passphrase=None)
    key = next(iter(OBJECTS))
    for address in engines.values():
        run(address, "UPDATE rows SET said = 'later'")
    Bucket().put(key, b"later")
    with pytest.raises(ConfigurationError, match="expected a run-time folder without"):
        restore_backup(file, passphrase=None)
    shutil.rmtree(cxr_home / "audit")
    shutil.rmtree(cxr_home / "served")
    with pytest.raises(ConfigurationError, match=r"found something in database airflow at .*, bucket cxr; nothing was"):
        restore_backup(file, passphrase=None)
    assert {row[1] for address in engines.values() for row in rows(address)} == {"later"}
    assert Bucket().get(key) == b"later"
    kept = restore_backup(file, passphrase=None, replace=True).kept_as
    assert kept.startswith("replaced-")
    for address in engines.values():
        assert rows(address)[0] == (1, "ä;1")
        assert {said for _, said in rows(address, kept)} == {"later"}
    assert Bucket().get(key) == OBJECTS[key] and Bucket().get(f"{kept}/{key}") == b"later"
    assert len(Bucket().listing(f"{kept}/")) == 1
    # What was kept is not in the next backup, which can be restored beside it.
    again = tmp_path / "again.tar.gz"
    write_backup(again, passphrase=None)
    assert restore_backup(again, passphrase=None, replace=True).kept_as != kept
    assert trail.verify() == []


def test_a_dump_is_of_one_moment_while_others_write(engines, tmp_path: Path):
    """Each transaction writes two equal rows: a copy with an odd number was taken in the middle of one."""
    import psycopg

    address, stop, written = engines["mlflow"], threading.Event(), []

    def write() -> None:
        with psycopg.connect(address) as connection:
            while not stop.is_set():
                with connection.transaction():
                    connection.execute("INSERT INTO rows VALUES (-1, '')")
                    connection.execute("INSERT INTO rows VALUES (-1, '')")
                written.append(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(written) < 20:
            assert writer.is_alive()
        postgres.dump(address, tmp_path / "mlflow.dump")
    finally:
        stop.set()
        writer.join()
    run(address, "DROP TABLE rows")
    assert not postgres.restore(address, tmp_path / "mlflow.dump", aside=None)
    found = run(address, "SELECT count(*) FROM rows WHERE number = -1")[0][0]
    assert found >= 40 and found % 2 == 0


def test_one_database_for_all_is_dumped_once_and_the_audit_log_s_comes_last(engines, cxr_home: Path):
    assert list(postgres.databases())[-1] == "postgres/shared.dump"
    for name in ("mlflow_database", "airflow_database"):
        (cxr_home / "secrets" / name).write_text(engines["cxr"])
    assert list(postgres.databases()) == ["postgres/mlflow_logins.dump", "postgres/shared.dump"]


def test_a_file_that_is_no_dump_leaves_what_was_there(engines, tmp_path: Path):
    (tmp_path / "broken.dump").write_bytes(b"PGDMP" + b"\0" * 100)
    with pytest.raises((DataDefect, ServiceUnavailable)):
        postgres.restore(engines["cxr"], tmp_path / "broken.dump", aside="replaced-x")
    assert len(rows(engines["cxr"])) == 100
    # A table that cannot be made: the schema that was moved aside comes back.
    postgres.dump(engines["airflow"], tmp_path / "whole.dump")
    content = (tmp_path / "whole.dump").read_bytes()
    (tmp_path / "cut.dump").write_bytes(content[: len(content) * 9 // 10])
    with pytest.raises((DataDefect, ServiceUnavailable)):
        postgres.restore(engines["airflow"], tmp_path / "cut.dump", aside="replaced-x")
    assert len(rows(engines["airflow"])) == 100


def test_a_wrong_password_is_told_without_it(engines, tmp_path: Path):
    parts = postgres.urlsplit(engines["cxr"])
    wrong = engines["cxr"].replace(f":{parts.password}@", ":not-the-secret@")
    with pytest.raises(ServiceUnavailable, match="pg_dump of database cxr at 127.0.0.1") as told:
        postgres.dump(wrong, tmp_path / "x.dump")
    assert "not-the-secret" not in str(told.value)


def test_engines_of_backup_and_installation_are_held_together(engines, tmp_path: Path, monkeypatch):
    file = tmp_path / "backup.tar.gz"
    assert write_backup(file, passphrase=None).format == 2
    monkeypatch.delenv("CXR_BUCKET")
    with pytest.raises(ConfigurationError, match="holds a bucket, but CXR_BUCKET names none"):
        restore_backup(file, passphrase=None)
    monkeypatch.delenv("CXR_DATABASE")
    with pytest.raises(ConfigurationError, match=r"names databases of Postgres \(airflow_database, .* is not set"):
        write_backup(tmp_path / "without.tar.gz", passphrase=None)
    assert not (tmp_path / "without.tar.gz").exists()
    with pytest.raises(
        ConfigurationError, match="made of an installation on Postgres, this installation asks for SQLite"
    ):
        restore_backup(file, passphrase=None)


def test_without_the_bucket_or_with_the_databases_alone(engines, tmp_path: Path):
    manifest = write_backup(tmp_path / "a.tar.gz", passphrase=None, without=frozenset({"bucket"}))
    assert not [one for one in manifest.files if one.startswith("bucket/")]
    only = write_backup(tmp_path / "b.tar.gz", passphrase=None, only_databases=True)
    assert set(only.files) == set(postgres.DUMPS.values())
    assert json.dumps(only.files)  # plain
