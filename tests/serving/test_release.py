"""Publishing to a running model server, and taking back what it cannot serve. Real server, real registry."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time

import pytest

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import ReleaseRefused, ServiceUnavailable
from cxr_tasks.contracts.handoffs import RegisteredModel
from cxr_tasks.stack.settings import StackSettings
from serving import rest_client
from serving.versions import publish, versions_on_disk

pytestmark = [pytest.mark.tf, pytest.mark.serving, pytest.mark.mlflow]


@pytest.fixture(scope="module")
def running(tmp_path_factory, exported):
    """A server that answers with version 1, and the settings by which it is found."""
    from serving.server_process import free_port, model_server

    before = dict(os.environ)
    home = tmp_path_factory.mktemp("release") / "var"
    os.environ["CXR_HOME"] = str(home)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    base = publish(exported, "cxr_binary", 1).parent
    rest_port = free_port()
    try:
        with model_server("cxr_binary", base, home / "server.log", rest_port=rest_port) as server:
            settings = dataclasses.replace(
                StackSettings.requested(os.environ), rest_port=rest_port, grpc_port=int(server.address.split(":")[1])
            )
            rest_client.wait_available(settings, "cxr_binary", 1, 240)
            yield settings
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def registered(running):
    """Versions 1 to 3 in the registry."""
    from cxr_tasks.registry import tracking

    client = tracking.client()
    client.create_registered_model("cxr_binary")
    made = []
    for _ in range(3):
        with tracking.open_run("cxr_binary", "made") as log:
            version = client.create_model_version("cxr_binary", source=str(running.home), run_id=log.run_id)
        made.append(
            RegisteredModel(
                model_name="cxr_binary", version=int(version.version), mlflow_run_id=log.run_id, alias="champion"
            )
        )
    return made


@pytest.fixture
def parity(tmp_path):
    path = tmp_path / "parity.json"
    path.write_text("{}")
    return ArtifactRef.of(path)


def test_a_version_the_server_cannot_load_is_taken_back(running, registered, exported, parity, tmp_path):
    from serving.release import publish_version

    broken = shutil.copytree(exported, tmp_path / "2")
    (broken / "saved_model.pb").write_bytes(b"junk")
    with pytest.raises(ReleaseRefused, match="version 2: the model server cannot load it"):
        publish_version(registered[1], broken, parity, running)
    assert versions_on_disk("cxr_binary") == [1]
    assert rest_client.served_versions(running, "cxr_binary") == [1]


def test_a_good_version_serves_and_is_on_record(running, registered, exported, parity):
    from cxr_tasks.registry.versions import version_tags
    from serving.golden import golden_images
    from serving.release import SERVED_TAG, publish_version

    released = publish_version(registered[2], exported, parity, running)
    assert released.version == 3
    assert rest_client.served_versions(running, "cxr_binary")[0] == 3
    assert version_tags("cxr_binary", 3)[SERVED_TAG] == "true"
    answer = rest_client.predict(running, "cxr_binary", next(iter(golden_images().values())))
    assert answer.labels == ("pneumonia",)
    # Released again, nothing changes.
    assert publish_version(registered[2], exported, parity, running) == released
    assert versions_on_disk("cxr_binary") == [1, 3]


def test_an_older_version_is_no_release(running, registered, exported, parity):
    from serving.release import publish_version

    with pytest.raises(ReleaseRefused, match="going back is a rollback"):
        publish_version(registered[1], exported, parity, running)


def test_a_bad_image_is_refused_in_one_line(running):
    with pytest.raises(rest_client.RequestRefused) as caught:
        rest_client.predict(running, "cxr_binary", b"no image")
    assert "\n" not in str(caught.value)
    with pytest.raises(rest_client.RequestRefused, match="404"):
        rest_client.predict(running, "nope", b"")


def test_a_version_that_served_once_is_taken_back_too_when_it_comes_back_broken(
    running, registered, exported, parity, tmp_path
):
    """Its tag says that it has served; the folder published now has not."""
    from serving.release import publish_version
    from serving.versions import withdraw

    withdraw("cxr_binary", 3)
    end = time.monotonic() + 30
    while rest_client.served_versions(running, "cxr_binary") != [1]:
        assert time.monotonic() < end
        time.sleep(0.2)
    broken = shutil.copytree(exported, tmp_path / "3")
    (broken / "saved_model.pb").write_bytes(b"junk")
    with pytest.raises((ReleaseRefused, ServiceUnavailable)):
        publish_version(registered[2], broken, parity, running)
    assert versions_on_disk("cxr_binary") == [1]
