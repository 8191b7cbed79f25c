"""Faults planted in a manifest: each is told by the expectation that is for it, with its rows, and nothing else is."""

from __future__ import annotations

import json

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.validate import validate_manifest
from tests.validate.manifests import RECIPE, failed_of, ingested, make_manifest

pytestmark = pytest.mark.gx


def box(**changed):
    """The boxes of a row: one of pneumonia in the middle, with some of its values replaced."""
    return json.dumps([{"finding": "pneumonia", "x": 40, "y": 40, "width": 50, "height": 50} | changed])


NOT_NEAR_BLACK = "the picture is neither nearly black nor nearly white"
CONTRAST = "the picture has the contrast of an X-ray"
TWO_NAMES = "the same picture is not listed under two names"
BOXES = "boxes can be read, mark known findings and lie in their pictures"
#: What is planted, (row, column) -> value; the rows that must be told; the expectations that must tell them.
FAULTS = [
    # critical
    ({(1, "image_id"): "x/000.png"}, [0, 1], ["an image is listed once; its id is its file"]),
    ({(5, "image_id"): "../outside.png"}, [5], ["image_id is a path below the data folder"]),
    ({(10, "split"): "holdout"}, [10], ["split holds known words only"]),
    ({(12, "label_pneumonia"): "maybe"}, [12], ["label_pneumonia holds known words only"]),
    ({(15, "view"): "oblique"}, [15], ["view holds known words only"]),
    ({(16, "sex"): "f"}, [16], ["sex holds known words only"]),
    ({(20, "mode"): "CMYK"}, [20], ["mode holds known words only"]),
    ({(25, "file_format"): "GIF"}, [25], ["file_format holds known words only"]),
    ({(34, "patient_id"): "p035"}, [34, 35], ["a patient is in one split only"]),  # test, train
    ({(38, "pixel_hash"): f"{40:032x}"}, [38, 40], ["equal pictures are in one split only", TWO_NAMES]),
    (
        {(43, "duplicate_group"): "x/043.png", (44, "duplicate_group"): "x/043.png"},  # validation, test
        [43, 44],
        ["nearly equal pictures are in one split only"],
    ),
    ({(46, "perceptual_hash"): "ff"}, [46], ["perceptual_hash holds 256 bits in hex"]),
    ({(47, "file_sha256"): "Z" * 64}, [47], ["file_sha256 holds sha256 in hex"]),
    ({(48, "pixel_hash"): "0"}, [48], ["pixel_hash holds XXH3 in hex"]),
    ({(50, "width_px"): 63, (50, "height_px"): 100}, [50], ["width is that of a chest X-ray"]),
    ({(51, "width_px"): 100, (51, "height_px"): 63}, [51], ["height is that of a chest X-ray"]),
    ({(52, "bit_depth"): 0}, [52], ["a grey value has 1 to 16 bits"]),
    ({(53, "deviation"): 0.0}, [53], ["the picture shows something", CONTRAST]),
    ({(55, "mean"): 1.2}, [55], ["mean grey lies on its scale", NOT_NEAR_BLACK]),
    ({(56, "mean"): float("inf")}, [56], ["mean grey lies on its scale", NOT_NEAR_BLACK]),
    ({(57, "entropy"): 9.0}, [57], ["entropy lies on its scale"]),
    ({(58, "sharpness"): -1.0}, [58], ["sharpness is not negative"]),
    ({(59, "border_fraction"): -0.5}, [59], ["border_fraction is a share"]),
    ({(60, "sub_label"): "virus"}, [60], ["a finer label goes with a positive finding"]),
    ({(61, "sub_label"): "fungus"}, [61], ["sub_label holds known words only"]),
    ({(62, "patient_id"): None}, [62], ["patient_id is given for every image"]),
    ({(63, "patient_id"): ""}, [63], ["every image has a patient; splits go by patient"]),
    ({(64, "boxes"): box(x=390)}, [64], [BOXES]),
    ({(67, "boxes"): "[{"}, [67], [BOXES]),
    ({(70, "boxes"): box(finding="pneumonitis")}, [70], [BOXES]),
    # warnings
    ({(75, "pixel_hash"): f"{76:032x}"}, [75, 76], [TWO_NAMES, "equal pictures have equal labels"]),  # both in train
    (
        {(81, "patient_id"): "p080", (80, "sex"): "male", (81, "sex"): "female"},
        [80, 81],
        ["a patient has one sex in all images"],
    ),
    ({(85, "official_split"): "test"}, [85], ["images of the official test split are in test"]),
    ({(90, "boxes"): box()}, [90], ["a box goes with a positive finding"]),
    ({(91, "age_years"): 414.0}, [91], ["ages are those of people"]),  # occurs in NIH's first label file
    ({(92, "mean"): 0.95}, [92], [NOT_NEAR_BLACK]),
    ({(93, "deviation"): 0.03}, [93], [CONTRAST]),
    ({(94, "entropy"): 0.5}, [94], ["the picture has many grey values, as an X-ray has"]),
    ({(95, "border_fraction"): 0.7}, [95], ["uniform bands take 0.4 of the picture at most"]),
    ({(96, "width_px"): 390, (96, "height_px"): 70}, [96], ["width to height is that of a chest X-ray"]),
    ({(97, "flags"): "inverted_suspected"}, [97], ["no picture is flagged for a person to look at"]),
]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Every fault of ``FAULTS`` in one manifest: the table, what the stage raised, what it recorded and logged."""
    table = make_manifest()
    for planted, _, _ in FAULTS:
        for (row, column), value in planted.items():
            table.loc[row, column] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_HOME", str(tmp_path_factory.mktemp("var")))
        paths = RunPaths.for_run("cxr_dataset_binary", "faulty")
        with pytest.raises(DataDefect) as caught:
            validate_manifest(ingested(table, paths), RECIPE, paths)
        return table, str(caught.value), failed_of(paths)


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=lambda number: FAULTS[number][2][0])
def test_a_fault_is_told_by_its_expectation_with_its_rows(faulty, number):
    table, told, failed = faulty
    _, rows, sentences = FAULTS[number]
    for about in sentences:
        planted = {row for _, its_rows, its_sentences in FAULTS if about in its_sentences for row in its_rows}
        found = failed[about]
        assert {row["image_id"] for row in found["offending_rows"]} == set(table.loc[sorted(planted), "image_id"])
        assert found["n_unexpected"] == len(planted)
        assert about in told
        assert all(table.loc[row, "image_id"] in told for row in rows)


def test_nothing_is_told_that_is_no_fault(faulty):
    _, told, failed = faulty
    assert set(failed) == {about for _, _, sentences in FAULTS for about in sentences}
    n_critical = sum(one["severity"] == "critical" for one in failed.values())
    assert f"(critical {n_critical}, warnings {len(failed) - n_critical})" in told


def test_a_critical_failure_is_recorded_and_its_severity_kept(faulty):
    _, _, failed = faulty
    severities = {about: one["severity"] for about, one in failed.items()}
    assert severities["a patient is in one split only"] == "critical"
    assert severities["nearly equal pictures are in one split only"] == "critical"
    assert severities["ages are those of people"] == "warning"
