from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import ReleaseRefused
from serving.served.version_folders import prune, publish, version_folder, versions_on_disk, withdraw


@pytest.fixture
def exported(tmp_path):
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "saved_model.pb").write_text("graph")
    return folder


def test_publish_is_whole_and_leaves_nothing_beside_it(cxr_home, exported):
    folder = publish(exported, "cxr_binary", 3)
    assert folder == version_folder("cxr_binary", 3) == cxr_home / "served" / "cxr_binary" / "3"
    assert (folder / "saved_model.pb").read_text() == "graph"
    assert [one.name for one in folder.parent.iterdir()] == ["3"]


def test_a_published_version_is_never_replaced(cxr_home, exported):
    publish(exported, "cxr_binary", 3)
    with pytest.raises(ReleaseRefused, match="not replaced in place"):
        publish(exported, "cxr_binary", 3)


def test_names_that_are_no_numbers_are_no_versions(cxr_home, exported):
    publish(exported, "cxr_binary", 10)
    publish(exported, "cxr_binary", 9)
    (cxr_home / "served" / "cxr_binary" / ".publishing-11-1").mkdir()
    assert versions_on_disk("cxr_binary") == [9, 10]
    assert versions_on_disk("cxr_multilabel") == []


def test_withdraw_takes_one_away_and_prune_all_that_is_not_kept(cxr_home, exported):
    for version in (1, 2, 3, 4):
        publish(exported, "cxr_binary", version)
    withdraw("cxr_binary", 4)
    withdraw("cxr_binary", 4)
    assert versions_on_disk("cxr_binary") == [1, 2, 3]
    (cxr_home / "served" / "cxr_binary" / ".publishing-5-99").mkdir()
    assert prune("cxr_binary", {3, 1}) == [2]
    assert sorted(one.name for one in (cxr_home / "served" / "cxr_binary").iterdir()) == ["1", "3"]
