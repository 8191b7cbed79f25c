from __future__ import annotations

import json

import numpy as np
import pytest

from cxr_tasks.contracts.records import MANIFEST_COLUMNS
from cxr_tasks.installation.storage.files import read_json, write_json
from cxr_tasks.validate.profile import last_reference, profile_of
from tests.builders import manifest_table


def make_profile(n=6, **columns):
    return profile_of(manifest_table(n, **columns), "made", "pneumonia")


def test_images_patients_labels_and_words_are_counted():
    profile = make_profile(
        patient_id=["a", "a", "b", "c", "d", "e"],
        split=["train", "train", "train", "validation", "test", "test"],
        label_pneumonia=["positive", "positive", "negative", "uncertain", "negative", "negative"],
        view=["pa", "ap", "pa", "pa", "pa", "unknown"],
        bit_depth=[8, 8, 8, 8, 16, 16],
    )
    assert profile["counts"] == {
        "images": 6, "patients": 5, "images in train": 3, "images in validation": 1, "images in test": 2,
    }  # fmt: skip
    assert profile["labels"] == {"pneumonia": {"positive": 2, "negative": 3, "uncertain": 1, "unmentioned": 0}}
    assert profile["words"]["view"] == {"ap": 1, "pa": 4, "unknown": 1}
    assert profile["words"]["bit_depth"] == {"16": 2, "8": 4}


@pytest.mark.parametrize(
    ("column", "value"),
    [("mean", 0.0), ("mean", 0.501), ("mean", 1.0), ("entropy", 8.0), ("sharpness", 0.0), ("age_years", 414.0)],
)
def test_a_value_is_counted_in_the_bin_whose_edges_it_lies_between(column, value):
    statistic = make_profile(**{column: value})["statistics"][column]
    counts, edges = statistic["counts"], [-np.inf, *statistic["edges"], np.inf]
    (place,) = np.flatnonzero(counts)
    assert counts[place] == 6
    assert edges[place] <= value < edges[place + 1]


def test_unknown_values_are_counted_apart():
    statistic = make_profile(age_years=[5.0, 50.0, float("nan"), float("nan"), 60.0, 70.0])["statistics"]["age_years"]
    assert (sum(statistic["counts"]), statistic["n_unknown"]) == (4, 2)


def test_edges_are_fixed_ascending_and_stored_and_the_whole_survives_json():
    one, other = make_profile(mean=0.1), make_profile(mean=0.9)
    for name, statistic in one["statistics"].items():
        assert statistic["edges"] == other["statistics"][name]["edges"] == sorted(set(statistic["edges"]))
        assert len(statistic["counts"]) == len(statistic["edges"]) + 1
    assert json.loads(json.dumps(one)) == one


def test_no_value_that_tells_of_one_image_is_in_it():
    table = manifest_table(3)
    text = json.dumps(profile_of(table, "made", "pneumonia"))
    for column in ("image_id", "patient_id", "study_id", "pixel_hash", "file_sha256", "perceptual_hash"):
        assert column in MANIFEST_COLUMNS
        assert not any(value in text for value in table[column])


def test_without_a_version_or_without_its_profile_there_is_no_reference(cxr_home):
    assert last_reference("made") is None
    payload = {
        "dataset": "made", "folder": str(cxr_home / "datasets" / "made" / "v1"), "fingerprint": "f" * 64,
        "index": {"uri": "index.parquet", "sha256": "0"}, "vocabulary": "pneumonia", "size_px": 64,
        "n_train": 1, "n_validation": 1, "n_test": 1,
    }  # fmt: skip
    write_json(cxr_home / "datasets" / "made" / "latest.json", payload)
    assert last_reference("made") is None
    path = cxr_home / "datasets" / "made" / "v1" / "reference_profile.json"
    write_json(path, make_profile())
    assert last_reference("made") == ("f" * 64, read_json(path))
