from __future__ import annotations

import pandas as pd
import pytest

from cxr_tasks.sources.reading.patients import crowded, splits_fault


def dealt(patients, splits):
    return pd.DataFrame({"patient_id": list(patients), "split": list(splits)})


@pytest.mark.parametrize(
    ("patients", "splits", "told"),
    [
        ("aaaa", ["train"] * 4, "all 4 images are of one patient: no image is left for validation, test, as"),
        (
            "aaab",
            ["train"] * 3 + ["test"],
            "the 4 images are of 2 patients, 3 of them of one: no image is left for val",
        ),
        ("abc", ["test"] * 3, "the 3 images are of 3 patients, 1 of them of one: no image is left for train, valid"),
    ],
)
def test_too_few_patients_for_three_splits_are_told_of_with_how_to_name_them(patients, splits, told):
    fault = splits_fault(dealt(patients, splits), "dicom")
    assert fault.startswith(told)
    assert "name the patients in a column 'patient' of the table of labels" in fault


def test_three_splits_with_images_are_no_fault():
    assert splits_fault(dealt("abc", ["train", "validation", "test"]), "dicom") == ""
    assert splits_fault(dealt("", []), "dicom") == ""


def test_a_patient_with_most_of_the_images_is_told_of():
    told = crowded(dealt("aaaaaabc", ["train"] * 6 + ["validation", "test"]), "mine")
    assert told == "one patient has 6 of the 8 images: is it one? If not, see that the source tells patients apart"
    assert crowded(dealt("aaaabbcc", ["train"] * 4 + ["validation", "test"] * 2), "mine") == ""
