"""Two model servers that share no volume: releases reach both or neither, and what serves outlives lost folders."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.installation.engines import Engines
from cxr_tasks.installation.settings import StackSettings
from serving.check.server_process import free_port
from serving.client.answers import RequestRefused
from tests.docker.replicas import HOSTS, MODEL, Clients, Replica, proxy
from tests.docker.services import lacks_store, seaweed
from tests.serving.conftest import Platform, contract, exported, small_model  # noqa: F401  (fixtures)
from tests.waiting import wait_until

pytestmark = [pytest.mark.tf, pytest.mark.serving, pytest.mark.mlflow, pytest.mark.cluster]


def until(condition: Callable[[], bool]) -> None:
    """Until it is so; a server that is away for a moment is a no."""

    def is_so() -> bool:
        with contextlib.suppress(RequestRefused, ServiceUnavailable):
            return condition()
        return False

    wait_until(is_so)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    lacking = lacks_store()
    if not (Path(sys.executable).parent / "caddy").is_file():
        lacking = "Caddy (make CLUSTER=1)"
    if lacking:
        pytest.skip(f"not installed here: {lacking}")
    with seaweed(tmp_path_factory.mktemp("store") / "s") as (port, credentials):
        yield port, credentials


@pytest.fixture(scope="module")
def replicas():
    grpc_port, rest_port = free_port(), free_port()
    return [Replica(host, Path(), grpc_port, rest_port) for host in HOSTS]


@pytest.fixture(scope="module")
def platform(store, replicas, exported, tmp_path_factory):  # noqa: F811
    """Both replicas with version 1 as ``stable``, released as all others are."""
    home = tmp_path_factory.mktemp("replicas")
    with pytest.MonkeyPatch.context() as patch:
        port, credentials = store
        for name, value in {
            "CXR_HOME": str(home / "var"),
            "CXR_BUCKET": "cxr",
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        from cxr_tasks.registry import tracking

        tracking.client().create_registered_model(MODEL)
        settings = dataclasses.replace(
            StackSettings.requested(os.environ),
            grpc_port=replicas[0].grpc_port,
            rest_port=replicas[0].rest_port,
            engines=Engines(bucket="cxr", model_host=",".join(HOSTS)),
        )
        try:
            for number, one in enumerate(replicas):
                one.folder = home / f"models-{number}"
                one.start()
            platform = Platform(settings, exported)
            platform.release(platform.new_version())
            yield platform
        finally:
            for one in replicas:
                one.stop()


@pytest.fixture
def through_proxy(replicas, tmp_path):
    with proxy(tmp_path / "proxy", replicas[0].grpc_port) as reached:
        yield reached


def test_no_request_fails_through_release_canary_and_rollback_on_two_servers(platform, replicas, through_proxy):
    from cxr_tasks.registry.overrides import record_override
    from serving.release.canary import end_canary, start_canary
    from serving.release.rollback import roll_back

    first = replicas[0].at("stable")
    with Clients(*through_proxy) as clients:
        second = platform.new_version()
        platform.release(second)
        assert [one.at("stable") for one in replicas] == [second.version] * 2
        third = platform.new_version(is_champion=False)
        record_override(MODEL, third.version, "Dr. A", "a test")
        start_canary(MODEL, third.version, platform.settings, who="Dr. A", why="a test")
        assert [(one.at("stable"), one.at("canary")) for one in replicas] == [(second.version, third.version)] * 2
        end_canary(MODEL, platform.settings, who="Dr. A", why="a test")
        assert [one.versions() for one in replicas] == [[second.version]] * 2
        back = roll_back(MODEL, platform.settings, who="Dr. A", why="a test")
        assert [one.at("stable") for one in replicas] == [first] * 2 == [back.version] * 2
        until(lambda: clients.versions["stable"].total() >= 300)
    print(f"through the proxy: {clients.versions}")
    assert clients.errors == []
    assert set(clients.versions["stable"]) == {first, second.version}, "no request by label met the canary"


def test_a_release_that_one_server_misses_is_taken_back_and_goes_through_when_it_is_there_again(
    platform, replicas, monkeypatch
):
    from serving.release import switch

    there, away = replicas
    before = there.at("stable")
    registered = platform.new_version()
    away.stop()
    with monkeypatch.context() as patch:
        patch.setattr(switch, "AVAILABLE_LIMIT_S", 20.0)
        with pytest.raises(ServiceUnavailable, match=r"model server at http://127\.0\.0\.\d"):
            platform.release(registered)
    until(lambda: (there.at("stable"), there.versions()) == (before, [before]))
    away.start()
    until(lambda: away.at("stable") == before)
    platform.release(registered)
    assert [replica.at("stable") for replica in replicas] == [registered.version] * 2


def test_what_serves_outlives_the_loss_of_its_folders_on_the_volume_and_beside_a_server(
    platform, replicas, through_proxy
):
    from serving.export.exports import export_folder
    from serving.served.models_config import write_models_config
    from serving.served.version_folders import version_folder

    serving = replicas[0].at("stable")
    lost = [version_folder(MODEL, serving), export_folder(MODEL, serving)]
    with Clients(*through_proxy) as clients:
        for folder in lost:
            shutil.rmtree(folder)
        write_models_config()
        until(lambda: clients.versions["stable"].total() >= 300)
    assert clients.errors == []
    assert [replica.at("stable") for replica in replicas] == [serving] * 2
    own = replicas[1].folder / MODEL
    shutil.rmtree(own)
    until(lambda: (own / str(serving) / "saved_model.pb").is_file() and replicas[1].at("stable") == serving)
    platform.release(following := platform.new_version())
    assert [replica.at("stable") for replica in replicas] == [following.version] * 2
