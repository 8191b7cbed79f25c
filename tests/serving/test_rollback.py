"""The former version back, registry and server together; and what a rollback refuses."""

from __future__ import annotations

import dataclasses

import pytest

from cxr_tasks.contracts.errors import DataDefect, ReleaseRefused, ServiceUnavailable
from cxr_tasks.registry.audit import trail
from serving.served.state import locked, read_state, write_state
from serving.served.version_folders import version_folder, versions_on_disk

pytestmark = [pytest.mark.tf, pytest.mark.serving, pytest.mark.mlflow]


@pytest.fixture
def two(platform):
    """A version that serves, and the one before it."""
    former, present = platform.new_version(), platform.new_version()
    platform.release(present)
    former_version = read_state("cxr_binary").previous
    assert former_version is not None
    assert former_version != former.version
    return former_version, present.version


def champion() -> int:
    from cxr_tasks.registry.versions import version_with_alias

    return int(version_with_alias("cxr_binary", "champion").version)


def roll_back(platform):
    from serving.release import rollback

    return rollback.roll_back("cxr_binary", platform.settings, who="Dr. A", why="misses effusions")


def test_alias_and_server_go_back_together_and_not_forward_again(platform, two):
    former, present = two
    done = roll_back(platform)
    assert (done.version, done.taken_back) == (former, present)
    assert done.seconds < 60
    assert (champion(), platform.at("stable"), platform.served()) == (former, former, [former])
    state = read_state("cxr_binary")
    assert (state.stable, state.previous, state.changing) == (former, None, None)
    # The watcher of the alias has nothing to do.
    assert not state.is_due(former, state.handled_run)
    assert versions_on_disk("cxr_binary") == [former]
    entry = trail.entries("cxr_binary")[-1]
    assert (entry.kind, entry.version, entry.who, entry.why) == ("rolled_back", former, "Dr. A", "misses effusions")
    assert entry.detail["from"] == present
    with pytest.raises(ReleaseRefused, match=r"found none beside version \d+; .*cxr promote cxr_binary VERSION"):
        roll_back(platform)
    assert (champion(), platform.at("stable")) == (former, former)


def test_without_the_registry_nothing_changes(platform, two, monkeypatch):
    before = read_state("cxr_binary")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(ServiceUnavailable, match="MLflow at"):
        roll_back(platform)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert (champion(), platform.at("stable"), read_state("cxr_binary")) == (two[1], two[1], before)


def test_a_former_version_whose_files_were_changed_is_not_gone_back_to(platform, two):
    former, present = two
    before = read_state("cxr_binary")
    (version_folder("cxr_binary", former) / "saved_model.pb").write_bytes(b"junk")
    with pytest.raises(DataDefect, match="expected the files that were published"):
        roll_back(platform)
    assert (champion(), platform.at("stable"), platform.served()) == (present, present, [present])
    assert read_state("cxr_binary") == before


def test_a_former_version_that_does_not_load_leaves_all_as_it_was(platform, two):
    """One that was published before the digests of files were kept."""
    former, present = two
    before = read_state("cxr_binary")
    (version_folder("cxr_binary", former) / "saved_model.pb").write_bytes(b"junk")
    with locked("cxr_binary"):
        write_state("cxr_binary", dataclasses.replace(before, contents={}))
    with pytest.raises(ReleaseRefused, match=f"version {former}: the model server cannot load it"):
        roll_back(platform)
    assert (champion(), platform.at("stable"), platform.served()) == (present, present, [present])
    after = read_state("cxr_binary")
    assert (after.stable, after.previous, after.handled) == (before.stable, before.previous, before.handled)
