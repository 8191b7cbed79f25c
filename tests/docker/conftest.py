"""A stack on Postgres, Redis and an S3 store, with Celery workers that share only the volume with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from tests.docker.services import BUCKET, Services, missing, services
from tests.own_stack import own_stack

_LOCKS = """
SELECT pid, classid::bigint, objid::bigint, application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted
    AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class HeldLock:
    """An advisory lock of the shared database, as long as one connection holds it."""

    server_pid: int
    """Of the server's process for that connection."""
    key: tuple[int, int]
    purpose: str
    pid: int | None
    """Of who holds it, on this machine."""


@dataclass
class Cluster:
    """The running stack, its services, and the workers that were started."""

    settings: StackSettings
    services: Services
    folder: Path
    workers: dict[str, subprocess.Popen] = field(default_factory=dict)

    def start_worker(self, name: str, queues: str, slots: int) -> None:
        """A worker that is told no more than where the volume is and how to reach the store."""
        told = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "CXR_HOME": str(self.settings.home),
            "TMPDIR": tempfile.mkdtemp(dir=self.folder),
            **self.services.s3_environment(),
        }
        command = [sys.executable, "-m", "cxr_tasks.stack.worker", "--queues", queues, "--slots", str(slots)]
        with open(self.log(name), "wb") as stream:
            self.workers[name] = subprocess.Popen(
                [*command, "--name", name], cwd=PROJECT_ROOT, env=told, stdout=stream, stderr=subprocess.STDOUT
            )

    def log(self, name: str) -> Path:
        return self.folder / f"worker-{name}.log"

    def stop_workers(self) -> None:
        """At once: one that is asked to stop waits for its tasks, and what they do goes with the folder."""
        for name in list(self.workers):
            if self.workers[name].poll() is None:
                self._kill(self.workers.pop(name).pid)

    def locks(self) -> set[HeldLock]:
        """Those held now: whoever works takes some, and gives them back."""
        import psycopg

        with psycopg.connect(self.services.database("cxr")) as rows:
            held = rows.execute(_LOCKS).fetchall()
        found = set()
        for server_pid, *key, purpose in held:
            named = re.search(r"\(process (\d+) of ", purpose)
            found.add(HeldLock(server_pid, tuple(key), purpose, int(named[1]) if named else None))
        return found

    def kill_worker(self, name: str) -> set[HeldLock]:
        """As a machine that loses its power: the worker and all it started, at once; the locks that they held."""
        held: set[HeldLock] = set()
        self._kill(self.workers.pop(name).pid, lambda pids: held.update(one for one in self.locks() if one.pid in pids))
        return held

    def _kill(self, pid: int, last_look: Callable[[set[int]], None] = lambda pids: None) -> None:
        worker = psutil.Process(pid)
        family = [worker, *worker.children(recursive=True)]
        for one in family:
            one.suspend()  # none of them sees another one end
        last_look({one.pid for one in family})
        for one in family:
            one.kill()
        psutil.wait_procs(family, timeout=60)

    def kill_engines(self) -> None:
        """Broker, database and store at once, as a rack that loses its power; then started again, until all answer."""
        engines = self.services.engines.values()
        for one in engines:
            one.kill()
        for one in engines:
            one.start()
        for one in engines:
            one.wait()


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Postgres, Redis and an S3 store; the test is skipped where they are not installed."""
    if lacking := missing():
        pytest.skip(f"not installed here: {lacking}")
    with services(tmp_path_factory.mktemp("services") / "s") as running:
        yield running


@pytest.fixture(scope="module")
def cluster(engines: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The stack with CeleryExecutor and no worker yet, in a run-time folder of its own; stopped at the end."""
    folder = tmp_path_factory.mktemp("cluster")
    volume = folder / "var"
    (volume / "secrets").mkdir(parents=True, mode=0o700)
    for name, address in engines.secrets().items():
        (volume / "secrets" / name).touch(mode=0o600)
        (volume / "secrets" / name).write_text(address + "\n")
    variables = {
        "CXR_EXECUTOR": "CeleryExecutor",
        "CXR_DATABASE": "postgres",
        "CXR_BUCKET": BUCKET,
        **engines.s3_environment(),
    }
    with own_stack(volume, **variables) as settings:
        cluster = Cluster(settings, engines, folder)
        try:
            yield cluster
        finally:
            cluster.stop_workers()
