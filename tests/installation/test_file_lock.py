"""One holder at a time, on one machine and on several; who dies lets go."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.storage.locks import file_lock, is_locked
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from tests.conftest import in_both

HOLD = """
import sys, time
from pathlib import Path
from cxr_tasks.installation.storage.locks import file_lock

with file_lock(Path(sys.argv[1]), what="a model", purpose="a release"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def path(cxr_home):
    return cxr_home / "served" / "cxr_binary" / ".lock"


@in_both
def test_who_waits_in_vain_is_told_who_holds_it(path):
    with (
        file_lock(path, what="what serves", purpose="a release"),
        pytest.raises(ServiceUnavailable, match=r"what serves: expected nobody else .* found a release \(process \d+"),
        file_lock(path, what="what serves", purpose="a rollback", wait_s=0),
    ):
        pass


@in_both
def test_two_files_are_two_locks_and_one_that_was_given_back_is_free(path):
    with (
        file_lock(path, what="one", purpose="a test"),
        file_lock(path.with_name("other"), what="two", purpose="a test"),
    ):
        assert is_locked(path)
    assert not is_locked(path)
    with file_lock(path, what="one", purpose="a test", wait_s=0):
        pass


@in_both
def test_only_one_is_inside_at_a_time(path):
    inside, seen = [], []

    def work():
        for _ in range(5):
            with file_lock(path, what="a counter", purpose="counting", wait_s=60):
                inside.append(1)
                seen.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert seen == [1] * 15


@in_both
def test_a_holder_that_is_killed_lets_go(path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT, env=os.environ
    )
    try:
        assert holder.stdout.readline() == "held\n"
        assert is_locked(path)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    waited = []
    with file_lock(path, what="a model", purpose="the next", wait_s=60, on_wait=lambda: waited.append(1)):
        assert is_locked(path)


def test_a_database_that_does_not_answer_is_named_without_its_password(cxr_home, path, monkeypatch):
    pytest.importorskip("psycopg", reason="psycopg is not installed: make CLUSTER=1")
    monkeypatch.setenv("CXR_DATABASE", "postgres")
    (cxr_home / "secrets").mkdir(parents=True)
    with (
        pytest.raises(ConfigurationError, match="secrets/shared_database: expected one line such as postgresql://"),
        file_lock(path, what="a model", purpose="a release"),
    ):
        pass
    (cxr_home / "secrets" / "shared_database").write_text("postgresql://cxr:geheim@127.0.0.1:1/cxr\n")
    with (
        pytest.raises(ServiceUnavailable, match="does not answer for 'a release") as raised,
        file_lock(path, what="a model", purpose="a release"),
    ):
        pass
    assert "geheim" not in str(raised.value)


in_postgres = pytest.mark.parametrize("cxr_home", [pytest.param("postgres", marks=pytest.mark.cluster)], indirect=True)


@contextlib.contextmanager
def changed_database(address: str, setting: str, value: str) -> Iterator[None]:
    """A setting of the whole database, for connections made in the block."""
    import psycopg

    def run(statement: str) -> None:
        with psycopg.connect(address, autocommit=True) as rows:
            rows.execute("SET default_transaction_read_only = off")
            rows.execute(statement)

    run(f"ALTER DATABASE cxr SET {setting} = {value}")
    try:
        yield
    finally:
        run(f"ALTER DATABASE cxr RESET {setting}")


@in_postgres
def test_a_lock_that_was_lost_in_the_middle_is_told(path, shared_postgres):
    """Postgres was started again, or another took its place."""
    import psycopg

    with (
        pytest.raises(ServiceUnavailable, match="a model: expected the lock to be held until a release was done"),
        file_lock(path, what="a model", purpose="a release"),
        psycopg.connect(shared_postgres, autocommit=True) as rows,
    ):
        (ended,) = rows.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name LIKE 'a release%'"
        ).fetchall()
        assert ended == (True,) and not is_locked(path)


@in_postgres
def test_a_server_that_ends_idle_connections_leaves_locks_alone(path, shared_postgres):
    with (
        changed_database(shared_postgres, "idle_session_timeout", "'200ms'"),
        file_lock(path, what="a model", purpose="a training"),
    ):
        time.sleep(1.0)
        assert is_locked(path)


@in_postgres
def test_a_database_that_takes_no_writes_gives_no_lock(path, shared_postgres):
    with (
        changed_database(shared_postgres, "default_transaction_read_only", "on"),
        pytest.raises(ServiceUnavailable, match="read-only"),
        file_lock(path, what="a model", purpose="a release"),
    ):
        pass


@in_postgres
def test_tables_of_another_version_are_told_in_one_line(cxr_home, shared_postgres):
    import psycopg

    from cxr_tasks.registry.audit import trail

    with psycopg.connect(shared_postgres, autocommit=True) as rows:
        rows.execute("CREATE TABLE audit_lines (text INT)")
    with pytest.raises(ConfigurationError, match="expected tables of this version .*line"):
        trail.entries()
