"""Which version folders are found and wanted."""

from __future__ import annotations

import logging

import pytest

pytestmark = [pytest.mark.tf]


def test_version_folders_are_those_named_in_digits(tmp_path):
    from serving.server.storage import versions_in

    for name in ("1", "00000008", "8", "v7", "tmp", "9.5", ".x", "7x", "-3", "9" * 19, "9" * 20, "\u0663"):
        (tmp_path / name).mkdir()
    (tmp_path / "5").write_text("a file")
    assert versions_in(tmp_path) == {1: tmp_path / "1", 8: tmp_path / "8"}


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ("", {3}),
        ("latest { }", {3}),
        ("latest { num_versions: 2 }", {2, 3}),
        ("latest { num_versions: 9 }", {1, 2, 3}),
        ("all { }", {1, 2, 3}),
        ("specific { versions: 1 versions: 3 }", {1, 3}),
        ("specific { versions: 1 versions: 9 }", {1}),  # what is there of them
        ("specific { versions: 9 }", set()),
        ("specific { }", set()),
    ],
)
def test_policy_chooses_versions(tmp_path, policy, wanted):
    from google.protobuf import text_format

    from serving.server.storage import VersionPolicy, VersionPoller, Watched

    for name in ("1", "2", "3"):
        (tmp_path / name).mkdir()
    said = {}
    poller = VersionPoller(lambda name, versions: said.__setitem__(name, set(versions)), wait_seconds=1)
    poller.watch({"m": Watched(tmp_path, text_format.Parse(policy, VersionPolicy()))})
    assert said == {"m": wanted}


def test_gone_base_path_says_nothing_once_and_keeps_no_other_model_from_its_look(tmp_path, caplog):
    from serving.server.storage import VersionPolicy, VersionPoller, Watched

    (tmp_path / "b" / "1").mkdir(parents=True)
    said = []
    poller = VersionPoller(lambda name, versions: said.append((name, set(versions))), wait_seconds=1)
    with caplog.at_level(logging.ERROR):
        poller.watch({"a": Watched(tmp_path / "a", VersionPolicy()), "b": Watched(tmp_path / "b", VersionPolicy())})
        poller.look()
    assert said == [("b", {1}), ("b", {1})]
    assert len(caplog.records) == 1
    assert f"Could not find base path {tmp_path}/a for servable a" in caplog.text


def test_model_left_out_of_the_list_is_wanted_no_more(tmp_path):
    from serving.server.storage import VersionPolicy, VersionPoller, Watched

    (tmp_path / "1").mkdir()
    said = []
    poller = VersionPoller(lambda name, versions: said.append((name, set(versions))), wait_seconds=1)
    poller.watch({"m": Watched(tmp_path, VersionPolicy())})
    poller.watch({})
    assert said == [("m", {1}), ("m", set())]
