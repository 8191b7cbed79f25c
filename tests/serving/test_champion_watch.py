"""The watch over alias ``champion``: against the stack's own MLflow server, with its login, stopped and started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.installation.settings import StackSettings, client_environment
from cxr_tasks.installation.storage.files import write_json
from cxr_tasks.installation.storage.paths import PROJECT_ROOT, served_root
from cxr_tasks.registry import rest
from cxr_tasks.registry.rest import registry_client
from cxr_tasks.stack.health import check_health
from cxr_tasks.stack.start import prepare_files
from cxr_tasks.stack.supervision import ProgramState
from serving.check.server_process import free_port
from serving.release import champion_watch
from serving.release.champion_watch import Announcements, NewChampion, new_champions
from serving.served.state import ServingState, locked, read_state, retry_release, write_state
from tests.waiting import PATIENCE_S, wait_until

MODELS = ("cxr_binary", "cxr_multilabel")
TIMED_OUT = "expected an answer, found ReadTimeout"


@pytest.mark.parametrize(
    ("polls", "told"),
    [
        ([(None, None)], []),
        ([(1, 1)], []),                                    # dealt with
        ([(1, None), (1, None), (1, None)], [1]),          # once, while the release is on its way
        ([(2, 1), (2, 1), (2, 2)], [2]),
        ([(2, 1), (1, 1), (2, 1)], [2, 2]),                # back and forth are two changes
        ([(2, 1), (3, 1), (3, 3)], [2, 3]),
        ([(2, 1), (2, 2), (1, 2), (1, 1)], [2, 1]),        # an older one is a change as well
        ([(2, 1), (None, 1), (2, 1)], [2, 2]),             # the alias was removed and set again
    ],
)  # fmt: skip
def test_each_change_is_told_once(polls, told):
    announcements = Announcements()
    found = [
        announcements.due("cxr_binary", champion, ServingState(stable=1, handled=handled), now=3.0 * place)
        for place, (champion, handled) in enumerate(polls)
    ]
    assert [one.version for one in found if one] == told


def test_what_no_release_deals_with_is_told_again_every_half_minute():
    announcements, state = Announcements(), ServingState(stable=1, handled=1)
    told_at = [now for now in range(0, 100, 3) if announcements.due("cxr_binary", 2, state, now=float(now))]
    assert told_at == [0, 30, 60, 90]


def test_models_are_told_apart():
    announcements = Announcements()
    due = [announcements.due(model, 4, ServingState(handled=3), now=0.0) for model in (*MODELS, *MODELS)]
    assert due == [NewChampion("cxr_binary", 4), NewChampion("cxr_multilabel", 4), None, None]


@pytest.mark.parametrize(
    ("state", "is_retried"),
    [
        (ServingState(stable=1, handled=2), True),  # refused, and now overridden
        (ServingState(stable=2, handled=2), False),  # it serves
        (ServingState(stable=1, handled=1), False),  # nobody has tried it yet
    ],
)
def test_a_refused_champion_is_told_of_again_after_an_override(cxr_home, state, is_retried):
    write_state("cxr_binary", state)
    announcements = Announcements()
    announcements.due("cxr_binary", 2, state, now=0.0)
    assert retry_release("cxr_binary", 2) is is_retried
    told = announcements.due("cxr_binary", 2, read_state("cxr_binary"), now=3.0)
    assert told == (NewChampion("cxr_binary", 2) if is_retried else None)


def test_a_file_instead_of_a_server_cannot_be_watched(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////tmp/mlflow.db")
    with pytest.raises(ConfigurationError, match="expected the address of an MLflow server"):
        registry_client()


class Registry:
    """The stack's MLflow server in a process of its own."""

    def __init__(self, settings: StackSettings):
        self.settings = settings
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        with open(self.settings.logs_folder / "mlflow.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cxr_tasks.stack.program", "mlflow"],
                cwd=PROJECT_ROOT,
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
                stdout=log,
                stderr=log,
            )
        up = ProgramState(name="mlflow", state="RUNNING", pid=self.process.pid, started_at=0.0, spawn_error="")
        states = {"mlflow": up, "api-server": down("api-server")}
        wait_until(
            lambda: check_health(self.settings, states)["mlflow"].is_healthy, "MLflow is healthy", of=self.process,
            tell=(self.settings.logs_folder / "mlflow.log").read_text, pause_s=0.3,
        )  # fmt: skip

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE_S)


def down(name: str) -> ProgramState:
    return ProgramState(name=name, state="STOPPED", pid=0, started_at=0.0, spawn_error="")


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Iterator[Registry]:
    ports = {f"{name}_port": free_port() for name in ("airflow", "mlflow", "grpc", "rest")}
    settings = StackSettings(home=tmp_path_factory.mktemp("registry") / "var", dags=PROJECT_ROOT / "dags", **ports)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_HOME", str(settings.home))
        prepare_files(settings)
        for name, value in client_environment(settings).items():
            patch.setenv(name, value)
        server = Registry(settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.mark.mlflow
def test_a_moved_alias_comes_out_once_and_outages_pass(registry, caplog, monkeypatch):
    from cxr_tasks.registry import tracking, versions

    monkeypatch.setattr(champion_watch, "LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr(rest, "TIMEOUT_S", 5.0)
    client = tracking.client()
    client.create_registered_model("cxr_binary")
    run = client.create_run("0")
    for _ in range(2):
        client.create_model_version("cxr_binary", source=f"{run.info.artifact_uri}/model", run_id=run.info.run_id)

    def handle(version: int) -> None:
        write_json(served_root() / "cxr_binary" / "state.json", {"handled": version})

    async def watch() -> list[NewChampion]:
        told: list[NewChampion] = []

        async def listen() -> None:
            async for change in new_champions(MODELS, every_s=0.05):
                told.append(change)  # noqa: PERF401  seen while it grows

        async def within(n: int, limit_s: float = 20.0) -> None:
            async with asyncio.timeout(limit_s):
                while len(told) < n:
                    await asyncio.sleep(0.02)

        task = asyncio.create_task(listen())
        try:
            await asyncio.sleep(0.5)
            assert told == []  # a model without the alias, and one that is not registered
            await asyncio.to_thread(versions.set_alias, "cxr_binary", "champion", 1)
            await within(1)
            handle(1)
            await asyncio.to_thread(versions.set_alias, "cxr_binary", "champion", 2)
            await within(2)
            await asyncio.sleep(0.5)
            assert len(told) == 2  # not again while nobody has dealt with it
            registry.process.send_signal(signal.SIGSTOP)
            async with asyncio.timeout(60):
                while "champions are not watched" not in caplog.text:
                    await asyncio.sleep(0.1)
            registry.process.send_signal(signal.SIGCONT)
            await within(3)  # told again: the release may have failed for want of a registry
            handle(2)
            await asyncio.sleep(0.5)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return told

    with caplog.at_level(logging.INFO, "serving.release.champion_watch"):
        told = asyncio.run(watch())
    assert [(one.model, one.version) for one in told] == [("cxr_binary", 1), ("cxr_binary", 2), ("cxr_binary", 2)]
    warned = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert warned == [f"champions are not watched: MLflow at {registry.settings.mlflow_url}: {TIMED_OUT}"]
    assert caplog.records[-1].getMessage() == "champions are watched again"


def test_neighbours_on_the_loop_go_on_while_mlflow_hangs(monkeypatch):
    async def neighbours_steps() -> int:
        async def never_answer(reader, writer) -> None:
            await asyncio.sleep(60)

        server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        task, steps = asyncio.create_task(anext(new_champions(MODELS))), 0
        for _ in range(20):
            await asyncio.sleep(0.01)
            steps += 1
        assert not task.done()
        task.cancel()
        server.close()
        return steps

    before = time.monotonic()
    assert asyncio.run(neighbours_steps()) == 20
    assert time.monotonic() - before < rest.TIMEOUT_S


def test_an_outage_is_one_line_and_asked_less_often(monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 5:
            raise asyncio.CancelledError

    # For the watch alone: a server of another test in this process has a loop of its own, which sleeps too.
    monkeypatch.setattr(champion_watch, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": sleep}))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(anext(new_champions(MODELS)))
    assert pauses == [6.0, 12.0, 12.0, 12.0, 12.0]
    assert [one.getMessage().rpartition(": ")[2] for one in caplog.records] == [
        "expected an answer, found ConnectError"
    ]


def test_a_broken_state_of_one_model_does_not_hide_the_other(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    async def always_seven(client, model):
        return 7, "r7"

    def state_of(model: str) -> ServingState:
        if model == "cxr_binary":
            raise DataDefect("state.json: expected JSON")
        return ServingState()

    monkeypatch.setattr(champion_watch, "champion_version", always_seven)

    async def first() -> NewChampion:
        async with contextlib.aclosing(new_champions(MODELS, every_s=0.01, state_of=state_of)) as changes:
            return await anext(changes)

    assert asyncio.run(first()) == NewChampion("cxr_multilabel", 7, "r7")


def test_a_champion_that_a_rollback_is_at_is_not_told(cxr_home, monkeypatch):
    """Its alias moves first; told now, a release of the same version would follow it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    async def always_seven(client, model):
        return 7, "r7"

    monkeypatch.setattr(champion_watch, "champion_version", always_seven)

    async def first() -> NewChampion:
        async with contextlib.aclosing(new_champions(MODELS, every_s=0.01)) as changes:
            return await anext(changes)

    with locked("cxr_binary", "a rollback"):
        assert asyncio.run(first()) == NewChampion("cxr_multilabel", 7, "r7")
    assert asyncio.run(first()) == NewChampion("cxr_binary", 7, "r7")
