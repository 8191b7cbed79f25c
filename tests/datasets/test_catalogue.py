"""Versions on disk: listed, found, pruned."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, ServiceUnavailable
from cxr_tasks.datasets.catalogue import find_version, left_overs, lock_path, removable, remove_version, stored_versions
from cxr_tasks.datasets.latest import publish_latest
from cxr_tasks.installation.storage.paths import datasets_root
from tests.prepare.folders import RECIPE, manifest_of, stored_folder

NAME = RECIPE.dataset.name


@pytest.fixture
def three(cxr_home):
    """Versions ``a``, ``ab`` and ``c``, made in this order on three days; ``ab`` is the newest published."""
    made = {
        digits: stored_folder(digits, manifest_of(n), made_at=f"2026-11-0{day}T00:00:00+00:00")
        for day, (digits, n) in enumerate([("a", 6), ("ab", 9), ("c", 12)], 1)
    }
    publish_latest(made["ab"])
    return made


def test_versions_are_listed_newest_first_with_their_counts(three):
    found = stored_versions(NAME)
    assert [one.fingerprint.rstrip("0") for one in found] == ["c", "ab", "a"]
    assert [one.is_latest for one in found] == [False, True, False]
    assert [(one.n_images, one.n_patients) for one in found] == [(24, 12), (18, 9), (12, 6)]
    assert all(one.n_bytes > 1000 and not one.fault for one in found)
    assert stored_versions() == found


def test_no_dataset_at_all_is_an_empty_list(cxr_home):
    assert stored_versions() == []


def test_half_a_folder_is_listed_with_its_fault_and_hidden_ones_are_not(three):
    folder = datasets_root() / NAME
    (folder / ".dddddddddddddddd.k3j" / "x").mkdir(parents=True)
    (folder / "eeeeeeeeeeeeeeee").mkdir()
    last = stored_versions(NAME)[-1]
    assert last.folder.name == "eeeeeeeeeeeeeeee" and "expected a JSON file, found none" in last.fault
    assert len(stored_versions(NAME)) == 4


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (NAME, "ab"),          # the published one
        (f"{NAME}@c", "c"),    # by its first digit
        (f"{NAME}@ab0", "ab"),
    ],
)  # fmt: skip
def test_a_version_is_found_by_name_and_first_digits(three, text, found):
    assert find_version(text).fingerprint.rstrip("0") == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{NAME}@a", "names several versions"),
        (f"{NAME}@ff", "names no version; there are: synthetic_binary@c0"),
        ("synthetic_binry", "did you mean 'synthetic_binary'"),
    ],
)
def test_what_names_no_version_or_several_is_answered_with_those_there_are(three, text, message):
    with pytest.raises(ConfigurationError, match=message):
        find_version(text)


def test_half_a_folder_cannot_be_shown(three):
    (datasets_root() / NAME / "eeeeeeeeeeeeeeee").mkdir()
    with pytest.raises(DataDefect, match="eeeeeeeeeeeeeeee: not a whole dataset"):
        find_version(f"{NAME}@ee")


@pytest.mark.parametrize(
    ("keep", "in_use", "goes"),
    [
        (1, (), ["a"]),         # c is the newest made, ab the newest published
        (2, (), ["a"]),
        (3, (), []),
        (1, ("a",), []),        # a model was trained on it
        (1, ("c",), ["a"]),
    ],
)  # fmt: skip
def test_what_may_go(three, keep, in_use, goes):
    versions = stored_versions(NAME)
    found, kept = removable(versions, keep=keep, in_use={one.ljust(64, "0") for one in in_use})
    assert [one.fingerprint.rstrip("0") for one in found] == goes
    assert len(found) + len(kept) == 3 and f"{NAME}@ab{'0' * 14}" in kept


def test_a_folder_of_another_name_is_not_ours_to_remove(three):
    (datasets_root() / NAME / "notes").mkdir()
    (datasets_root() / NAME / "eeeeeeeeeeeeeeee").mkdir()
    found, kept = removable(stored_versions(NAME), keep=3, in_use=())
    assert [one.folder.name for one in found] == ["eeeeeeeeeeeeeeee"]
    assert kept[f"{NAME}@notes"] == "no version that this platform has made"


def test_removing_takes_the_folder_and_nothing_else(three):
    remove_version(find_version(f"{NAME}@c"))
    assert [one.fingerprint.rstrip("0") for one in stored_versions(NAME)] == ["ab", "a"]
    assert left_overs(NAME) == []


def test_a_version_under_work_is_not_removed(three):
    version = find_version(f"{NAME}@c")
    with open(lock_path(version.folder), "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(ServiceUnavailable, match="expected nobody else to change it"):
            remove_version(version)
    assert version.folder.is_dir()


def test_left_overs_are_those_that_no_process_is_at_work_on(three):
    folder = datasets_root() / NAME
    for name in ("dddddddddddddddd", "eeeeeeeeeeeeeeee"):
        (folder / f".{name}.abc").mkdir()
    with open(lock_path(folder / "dddddddddddddddd"), "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert [one.name for one in left_overs(NAME)] == [".eeeeeeeeeeeeeeee.abc"]
    shutil.rmtree(folder / ".eeeeeeeeeeeeeeee.abc")
    assert [Path(one).name for one in left_overs(NAME)] == [".dddddddddddddddd.abc"]
