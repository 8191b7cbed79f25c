"""What every test may ask for: the real X-rays where they are, and a run-time folder of its own."""

from __future__ import annotations

import contextlib
import gc
import http.server
import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tell_failures import pytest_configure  # noqa: F401  (a hook)

TESTS = Path(__file__).resolve().parent
SHARED_DATA = TESTS.parents[1] / "shared" / "data"


#: Folders whose tests share something that takes long to make (a running stack, an exported model and its server,
#: a prepared dataset with a model): each goes to one process as a whole, all others file by file.
TOGETHER = ("end_to_end", "worklist", "serving/server", "serving", "sources/phantoms")
#: Files of one folder that share such a thing, which the folder's others have no use for.
SHARERS = ("evaluate/test_cross.py", "evaluate/test_predict.py", "evaluate/test_stage.py")
#: What takes longest, in the order of its start; all others follow. The stack of `end_to_end` waits more than it
#: computes, so what follows it has the cores meanwhile. The other stacks come later, but not last: whoever is last
#: leaves the other processes idle.
FIRST = (
    "end_to_end",
    "docker/test_cluster.py",
    "serving/server",
    "serving",
    "worklist",
    "train/test_stage.py",
    "train/test_plan.py",
    "train/test_fit_phases.py",
    "train/test_densenet.py",
    "evaluate/test_cross.py",
    "sources/phantoms",
    "stack/test_stack.py",
    "train",
)


def group_of(nodeid: str) -> str:
    """What goes to one process with the test of that id: its file or, of ``TOGETHER``, its folder, below this one."""
    path = Path(nodeid.partition("::")[0]).relative_to(TESTS.name)
    folder = path.parent.as_posix()
    return folder if folder in TOGETHER else SHARERS[0] if path.as_posix() in SHARERS else path.as_posix()


def place_of(nodeid: str) -> int:
    """When the test of that id begins, by the order of ``FIRST``, which names groups and folders of groups."""
    group = group_of(nodeid)
    around = (group, group.rpartition("/")[0])
    return next((number for number, name in enumerate(FIRST) if name in around), len(FIRST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no process is left alone with one of them at the end."""
    items.sort(key=lambda item: place_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests that share what takes long to make go to one process."""
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return GroupScheduling(config, log)


@pytest.fixture(scope="module", autouse=True)
def earlier_modules_are_not_looked_through_again():
    """What other modules' tests left in this process is no garbage of ours: servers and TensorFlow collect often, and a
    process that has run half the tests holds millions of objects.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real X-rays beside the checkout; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real X-rays are not here: expected the folder {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def empty_mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store with nothing in it. MLflow's migrations take seconds, a copy of what they made takes none."""
    from cxr_tasks.registry import tracking

    folder = tmp_path_factory.mktemp("empty_mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_HOME", str(folder / "var"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracking.client().search_experiments()
    made, copy = sqlite3.connect(folder / "var" / "mlflow" / "mlflow.db"), sqlite3.connect(folder / "mlflow.db")
    with contextlib.closing(made), contextlib.closing(copy):
        made.backup(copy)  # with what still stands in its log
    return folder / "mlflow.db"


#: For a test of what is in Postgres where several machines write: once with files, once with Postgres.
in_both = pytest.mark.parametrize(
    "cxr_home", ["files", pytest.param("postgres", marks=pytest.mark.cluster)], indirect=True
)


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[str]:
    """Address of a database of the tests' own; the test is skipped where Postgres is not installed."""
    from tests.docker.services import DATABASES, lacks_postgres, postgres

    if lacking := lacks_postgres():
        pytest.skip(f"not installed here: {lacking}")
    passwords = dict.fromkeys(DATABASES.values(), "password of a test")
    with postgres(passwords) as port:
        yield f"postgresql://cxr:password%20of%20a%20test@127.0.0.1:{port}/cxr"


@pytest.fixture
def cxr_home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run-time folder of this test's own, instead of ``var/``; for a test marked ``mlflow`` with an empty store.

    With the parameter ``postgres`` (``in_both``) of an installation of several machines, with an empty database.
    """
    folder = tmp_path / "var"
    if getattr(request, "param", "files") == "postgres":
        import psycopg

        address = request.getfixturevalue("shared_postgres")
        with psycopg.connect(address, autocommit=True) as rows:
            rows.execute("DROP SCHEMA public CASCADE")
            rows.execute("CREATE SCHEMA public")
        (folder / "secrets").mkdir(parents=True, mode=0o700)
        (folder / "secrets" / "shared_database").write_text(address + "\n")
        monkeypatch.setenv("CXR_DATABASE", "postgres")
    if request.node.get_closest_marker("mlflow"):
        (folder / "mlflow").mkdir(parents=True)
        shutil.copyfile(request.getfixturevalue("empty_mlflow_database"), folder / "mlflow" / "mlflow.db")
    monkeypatch.setenv("CXR_HOME", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


@pytest.fixture
def webhook():
    """A server that keeps what it is sent; ``webhook.status`` is what it answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            server.received.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *args):
            """Keep the test's output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.received, server.status = [], 200
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
