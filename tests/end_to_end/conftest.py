"""One running stack for all tests of this folder, with one released model in it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.worklist.airflow_api import AirflowApi
from tests.own_stack import own_stack

#: Switches that keep Chromium from calling anyone but the pages under test.
SWITCHES = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Chromium's own sandbox needs rights that a container's root does not have; it opens only our pages.
    "--no-sandbox",
]
PATIENCE_MS = 120_000

_while_tested = contextlib.ExitStack()


@pytest.fixture(scope="session")
def stack(tmp_path_factory) -> Iterator[StackSettings]:
    """Airflow, MLflow and the model server on free ports with a run-time folder of their own."""
    with _while_tested:
        yield _while_tested.enter_context(own_stack(tmp_path_factory.mktemp("stack") / "var"))


@pytest.hookimpl(trylast=True)  # what the tests hold of the stack goes first
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Stops the stack after the last test of this folder: it would take half a core from all that follow it."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        _while_tested.close()


@pytest.fixture(scope="session")
def api(stack: StackSettings) -> AirflowApi:
    return AirflowApi(stack)


@pytest.fixture(scope="session")
def released(stack: StackSettings) -> dict:
    """What ``cxr trigger`` says after a short training on synthetic X-rays, with a gate and a person that it passes."""
    command = [str(Path(sys.executable).parent / "cxr"), "trigger", "synthetic_binary"]
    done = subprocess.run(
        [*command, "--epochs", "3", "--gate-floor", "0.6", "--wait", "--approve", "end-to-end test", "--json"],
        stdout=subprocess.PIPE,
        cwd=PROJECT_ROOT,
        check=False,
    )
    assert done.returncode == 0, "cxr trigger failed; its output is above"
    return json.loads(done.stdout)


@pytest.fixture(scope="module")  # closed before other tests want an event loop of their own
def browser():
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=SWITCHES)
        yield chromium
        chromium.close()


@contextlib.contextmanager
def logged_in(browser, stack: StackSettings, **options):
    """A page of a person who is logged in to Airflow, in a browser context made with ``options``."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, **options)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    login = stack.airflow_login()
    page.goto(stack.airflow_url)
    page.get_by_label("Username").fill(login.username)
    page.locator("input[name=password]").fill(login.password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Dags").first.wait_for()
    yield page
    context.close()


@pytest.fixture
def page(browser, stack):
    """A page with a logged-in person; ``page.problems`` collects console errors from then on."""
    with logged_in(browser, stack) as page:
        page.problems = []
        page.on("console", lambda said: page.problems.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        yield page
