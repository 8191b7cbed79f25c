"""The newest version of a dataset, and the splits that its patients keep."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.datasets.latest import latest_dataset, previous_splits, publish_latest
from cxr_tasks.installation.storage.paths import datasets_root, secrets_root
from tests.prepare.folders import RECIPE, manifest_of, stored_folder

NAME = RECIPE.dataset.name


def test_the_newest_is_what_was_published_last(cxr_home):
    with pytest.raises(DataDefect, match="no dataset 'synthetic_binary' is prepared yet"):
        latest_dataset(NAME)
    first, second = stored_folder("aa", manifest_of()), stored_folder("bb", manifest_of(9))
    publish_latest(second)
    assert latest_dataset(NAME) == second
    publish_latest(first)  # an older one, taken up again
    assert latest_dataset(NAME) == first


def test_what_is_not_there_or_was_changed_is_not_published(cxr_home):
    good, gone, changed = (stored_folder(name, manifest_of()) for name in ("aa", "bb", "cc"))
    publish_latest(good)
    shutil.rmtree(gone.folder)
    with open(changed.index.uri, "ab") as stream:
        stream.write(b"\0")
    for one, message in (
        (gone, "expected dataset 'synthetic_binary' with fingerprint bb"),
        (changed, "changed after it was written"),
    ):
        with pytest.raises(DataDefect, match=message):
            publish_latest(one)
    assert latest_dataset(NAME) == good


def test_known_patients_have_the_splits_of_the_newest_version(cxr_home):
    assert previous_splits(RECIPE, ["p0"]) is None
    prepared = stored_folder("aa", manifest_of())
    assert previous_splits(RECIPE, ["p0"]) is None  # prepared, but not found good yet
    publish_latest(prepared)
    found = previous_splits(RECIPE, ["p0", "p1", "p2", "p0", "new"])
    assert found.to_dict() == {"p0": "train", "p1": "validation", "p2": "test"}


def test_other_split_settings_deal_patients_anew_and_say_so(cxr_home, caplog):
    publish_latest(stored_folder("aa", manifest_of()))
    more = dataclasses.replace(RECIPE, split=dataclasses.replace(RECIPE.split, validation=0.3))
    assert previous_splits(more, ["p0"]) is None
    assert "split settings changed" in caplog.text


def test_a_version_that_does_not_tell_its_settings_goes_by_its_keys(cxr_home):
    prepared = stored_folder("aa", manifest_of())
    path = datasets_root() / NAME / "aa00000000000000" / "provenance.json"
    provenance = json.loads(path.read_text())
    del provenance["settings"]
    path.write_text(json.dumps(provenance))
    publish_latest(prepared)
    assert previous_splits(RECIPE, ["p1"]).to_dict() == {"p1": "validation"}


def test_a_lost_secret_is_warned_of(cxr_home, caplog):
    publish_latest(stored_folder("aa", manifest_of()))
    (secrets_root() / "patient_key").unlink()
    with caplog.at_level(logging.WARNING):
        assert previous_splits(RECIPE, ["p0", "p1"]).empty
    assert "0 of 2 patients are known from version aa00000000000000" in caplog.text


def test_a_newest_version_that_is_gone_stops_here_and_does_not_deal_anew(cxr_home):
    prepared = stored_folder("aa", manifest_of())
    publish_latest(prepared)
    shutil.rmtree(prepared.folder)
    with pytest.raises(DataDefect, match=r"restore the folder, or remove .*latest\.json"):
        previous_splits(RECIPE, ["p0"])
