"""Releases to a running model server, and what becomes of failed ones. Real server, real registry."""

from __future__ import annotations

import shutil

import pytest

from cxr_tasks.contracts.errors import DataDefect, ReleaseRefused
from cxr_tasks.registry.audit import trail
from serving.client import CxrClient, ImageRefused, NotServed, running
from serving.served.state import read_state
from serving.served.version_folders import versions_on_disk

pytestmark = [pytest.mark.tf, pytest.mark.serving, pytest.mark.mlflow]


def test_a_release_moves_the_label_and_keeps_the_version_before(platform):
    from cxr_tasks.registry.versions import version_tags
    from serving.release.outcome import SERVED_TAG

    before = read_state("cxr_binary").stable
    registered = platform.new_version()
    released = platform.release(registered)
    new = registered.version
    assert (released.version, platform.at("stable"), platform.served()) == (new, new, [new])
    assert versions_on_disk("cxr_binary") == [before, new]
    state = read_state("cxr_binary")
    assert (state.stable, state.previous, state.changing, state.handled) == (new, before, None, new)
    assert version_tags("cxr_binary", new)[SERVED_TAG] == "true"
    entry = trail.entries("cxr_binary")[-1]
    assert (entry.kind, entry.version, entry.who, entry.detail["before"]) == ("served", new, "airflow", before)
    # Released again, nothing changes, and nothing is recorded twice.
    assert platform.release(registered) == released
    assert trail.entries("cxr_binary")[-1] == entry
    assert read_state("cxr_binary") == state


def test_an_older_version_serves_again_when_it_is_champion_again(platform):
    from cxr_tasks.registry.versions import set_alias

    older, newer = platform.new_version(), platform.new_version()
    platform.release(newer)
    set_alias("cxr_binary", "champion", older.version)
    platform.release(older)
    # A request without label gets the newest that is loaded: the newer one must be gone.
    assert (platform.at("stable"), platform.served()) == (older.version, [older.version])
    assert read_state("cxr_binary").previous == newer.version


def test_a_version_the_server_cannot_load_is_taken_back(platform, exported, tmp_path):
    from cxr_tasks.registry.versions import version_tags
    from serving.release.outcome import FAILED_TAG

    before = read_state("cxr_binary")
    broken = shutil.copytree(exported, tmp_path / "broken")
    (broken / "saved_model.pb").write_bytes(b"junk")
    registered = platform.new_version(broken)
    with pytest.raises(ReleaseRefused, match=f"version {registered.version}: the model server cannot load it"):
        platform.release(registered)
    assert (platform.at("stable"), platform.served()) == (before.stable, [before.stable])
    after = read_state("cxr_binary")
    assert (after.stable, after.previous, after.changing, after.handled) == (
        before.stable, before.previous, None, registered.version,
    )  # fmt: skip
    assert versions_on_disk("cxr_binary") == [before.stable]
    assert "cannot load it" in version_tags("cxr_binary", registered.version)[FAILED_TAG]
    entry = trail.entries("cxr_binary")[-1]
    assert (entry.kind, entry.version) == ("release_failed", registered.version)


def test_a_version_that_answers_badly_at_its_label_is_taken_back(platform, monkeypatch):
    """The label has moved by then: it goes back to the version before, which is loaded still."""
    from serving.release import stage

    def refuse_at_label(settings, model_name, at):
        if at == "stable":
            assert platform.at("stable") == registered.version
            raise ReleaseRefused("no probabilities")

    before = read_state("cxr_binary").stable
    registered = platform.new_version()
    monkeypatch.setattr(stage, "smoke_test", refuse_at_label)
    with pytest.raises(ReleaseRefused, match="no probabilities"):
        platform.release(registered)
    running.wait_unloaded(platform.settings, "cxr_binary", registered.version, 30)
    assert (platform.at("stable"), platform.served()) == (before, [before])
    assert versions_on_disk("cxr_binary") == [before]


def test_who_is_champion_no_more_is_not_released(platform):
    first, second = platform.new_version(), platform.new_version()
    before = read_state("cxr_binary")
    with pytest.raises(ReleaseRefused, match=f"to be champion still, found version {second.version}"):
        platform.release(first)
    assert read_state("cxr_binary") == before


def test_a_changed_export_is_not_published(platform):
    from serving.export.exports import export_folder

    registered = platform.new_version()
    graph = export_folder("cxr_binary", registered.version) / str(registered.version) / "saved_model.pb"
    graph.write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(DataDefect, match="release it again from the start"):
        platform.release(registered)
    assert registered.version not in versions_on_disk("cxr_binary")


@pytest.mark.parametrize("damage", ["changed", "missing", "gone"])
def test_a_release_brings_back_the_files_of_what_serves(platform, damage):
    from cxr_tasks.cli.doctor.serving import file_findings
    from cxr_tasks.installation.storage.files import tree_sha256
    from serving.served.version_folders import version_folder

    registered = platform.new_version()
    platform.release(registered)
    folder = version_folder("cxr_binary", registered.version)
    before = read_state("cxr_binary")
    published = tree_sha256(folder)
    if damage == "changed":
        with open(folder / "saved_model.pb", "ab") as stream:
            stream.write(b"\0")
    elif damage == "missing":
        (folder / "variables" / "variables.index").unlink()
    else:
        shutil.rmtree(folder)
    (told,) = file_findings("cxr_binary", before)
    assert told.todo.endswith("trigger cxr_release with model cxr_binary, which publishes what was exported")
    platform.release(registered)
    assert tree_sha256(folder) == published
    assert (platform.at("stable"), platform.served()) == (registered.version, [registered.version])
    assert read_state("cxr_binary") == before
    assert [one.level for one in file_findings("cxr_binary", before)] == ["OK"]


def test_a_bad_image_is_refused_in_one_line(platform):
    with pytest.raises(ImageRefused) as caught:
        platform.predict(b"no image", "stable")
    assert "\n" not in str(caught.value)
    for address in (platform.settings.rest_url, platform.settings.grpc_address):
        with CxrClient(address) as client, pytest.raises(NotServed, match="version label: stable"):
            client.predict("nope", b"x")


def test_a_champion_that_may_not_serve_is_refused_until_somebody_overrides(platform, webhook, monkeypatch):
    """As when the alias is moved by hand, in the MLflow UI, to a version that did not pass its gate."""
    from cxr_tasks.registry.overrides import record_override
    from cxr_tasks.registry.versions import version_tags
    from serving.release.take_up import REFUSED_TAG, take_up

    monkeypatch.setenv("CXR_NOTIFY", f"json://127.0.0.1:{webhook.server_port}/hook")
    before = read_state("cxr_binary").stable
    registered = platform.new_version()
    version = registered.version
    with pytest.raises(ReleaseRefused, match=f"version {version} may not serve: .*version {before} serves on"):
        take_up([registered], "somebody")
    assert "gate verdict is missing" in version_tags("cxr_binary", version)[REFUSED_TAG]
    assert [(one.kind, one.version, one.who) for one in trail.entries("cxr_binary")][-1] == (
        "release_refused", version, "somebody",
    )  # fmt: skip
    ((_, told),) = webhook.received
    assert told["title"] == f"Chest X-rays: cxr_binary version {version} is refused"
    assert f"version {before} serves on" in told["message"]
    # Dealt with: it is not due again by itself.
    assert not read_state("cxr_binary").is_due(version, registered.mlflow_run_id)
    assert platform.at("stable") == before
    record_override("cxr_binary", version, "Dr. A", "no other model until Monday")
    assert take_up([registered]) == [registered]
    assert REFUSED_TAG not in version_tags("cxr_binary", version)
    assert trail.entries("cxr_binary")[-1].kind == "release_started"
