"""What every test may ask for: the real X-rays where they are, and a run-time folder of its own."""

from __future__ import annotations

import gc
import http.server
import json
import threading
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parent
SHARED_DATA = TESTS.parents[1] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The one stack that `end_to_end` shares waits more than it computes: first, beside all others where tests run
    side by side. Tests that start and stop stacks of their own come last.
    """

    def place(item: pytest.Item) -> int:
        return 0 if "end_to_end" in item.path.parts else 2 if item.get_closest_marker("stack") else 1

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A folder's tests go to one process, so that what they share (a stack, exported models) is made once."""
    from xdist.scheduler import LoadScopeScheduling

    class FolderScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = Path(nodeid.split("::", maxsplit=1)[0])
            # The one file of its folder with stacks of its own, which are last.
            return str(path if path.name == "test_stack.py" else path.parent)

    return FolderScheduling(config, log)


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


@pytest.fixture
def cxr_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run-time folder of this test's own, instead of ``var/``."""
    folder = tmp_path / "var"
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
