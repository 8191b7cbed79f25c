from __future__ import annotations

import pandas as pd
import pytest

from cxr_tasks.datasets.split_facts import changes_since, split_facts, split_sentences
from cxr_tasks.installation.storage.files import reference_to
from tests.builders import manifest_table

SPLIT = {"salt": "2026-11", "validation": 0.15, "test": 0.2}


def test_patients_moved_into_the_test_folder_are_counted():
    """Kermany's test folder has patients whose other images lie in train: it does not simply stay the test split."""
    manifest = manifest_table(
        6,
        patient_id=["a", "a", "b", "c", "c", "d"],
        official_split=["test", "train", "train", "val", "test", "train"],
        split=["test", "test", "test", "test", "test", "train"],
    )
    facts = split_facts(manifest)
    assert facts == {
        "rule": "official",
        "n_official": 2,
        "moved_in": {"images": 3, "patients": 3},
        "moved_out": {"images": 0, "patients": 0},
        "from_nowhere": {"images": 0, "patients": 0},
    }
    said = " ".join(split_sentences(facts, SPLIT))
    assert "Test: the source's own test split, 2 images; 3 images of 3 patients were moved into it" in said
    assert "0 images of 0 patients were moved out of it" in said
    assert "of all patients" not in said


def test_a_test_folder_that_stayed_is_said_to_have_stayed():
    facts = split_facts(manifest_table(3, official_split=["test", "train", ""], split=["test", "train", "train"]))
    assert "no patient was moved into it or out of it" in " ".join(split_sentences(facts, SPLIT))


def test_patients_moved_out_of_it_are_counted_too():
    facts = split_facts(manifest_table(2, official_split=["test", "test"], split=["test", "train"]))
    assert facts["moved_out"] == {"images": 1, "patients": 1}
    assert "1 images of 1 patients were moved out of it" in " ".join(split_sentences(facts, SPLIT))


@pytest.mark.parametrize("official", ["", "train"])
def test_without_a_test_split_of_the_source_patients_are_dealt(official):
    facts = split_facts(manifest_table(2, official_split=official, split=["test", "train"]))
    assert facts == {"rule": "dealt"}
    assert split_sentences(facts, SPLIT)[1] == (
        "Test: the source has no test split; 20 % of all patients, dealt by the same hash."
    )


def test_a_dataset_from_before_says_nothing_it_does_not_know():
    assert "was not recorded" in " ".join(split_sentences({}, SPLIT))


def test_who_changed_split_since_the_version_before_is_counted(cxr_home):
    from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
    from cxr_tasks.installation.storage.files import write_json

    folder = cxr_home / "datasets" / "made" / ("a" * 16)
    folder.mkdir(parents=True)
    before = pd.DataFrame({"patient_key": list("pqrs"), "split": ["train", "test", "validation", "train"]})
    before.to_parquet(folder / "index.parquet")
    newest = PreparedDataset(
        dataset="made", folder=str(folder), fingerprint="a" * 64, index=reference_to(folder / "index.parquet"),
        vocabulary="pneumonia", size_px=16, n_train=2, n_validation=1, n_test=1,
    )  # fmt: skip
    now = pd.DataFrame({"patient_key": list("ppqrst"), "split": ["test", "test", "train", "train", "train", "test"]})
    assert changes_since(now, "made", "b" * 64) is None  # the first version
    write_json(folder.parent / "latest.json", newest.to_payload())
    assert changes_since(now, "made", "a" * 64) is None  # itself
    found = changes_since(now, "made", "b" * 64)
    assert found == {"fingerprint": "a" * 64, "n_known": 4, "into_test": 1, "out_of_test": 1, "between_others": 1}
    said = split_sentences({"rule": "dealt", "changed_since": found}, SPLIT)[-1]
    assert said == (
        "Against version aaaaaaaa of the dataset, of 4 patients known from it 1 moved into test, 1 out of test, 1 "
        "between train and validation."
    )
