"""The real X-rays, from their folders through ingest: which warnings they end in, and that nothing stops them."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.installation.storage.files import read_json, verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.validate import validate_manifest

pytestmark = [pytest.mark.gx, pytest.mark.data]

KERMANY = load_recipe("kermany_cnn")
NIH = dataclasses.replace(
    KERMANY,
    dataset=dataclasses.replace(KERMANY.dataset, name="nih14", source="nih", vocabulary="nih14", options={}),
)
TWO_NAMES = "the same picture is not listed under two names"


@pytest.fixture
def found_in(shared_data, cxr_home, caplog):
    """``found_in(folder, recipe)``: the record of its validation, the expectations not met, and the log."""
    from tests.ingest.folders import ingest_source

    def run(folder, recipe):
        paths = RunPaths.for_run("cxr_dataset", folder)
        given = ingest_source(recipe, str(shared_data / folder), paths)
        with caplog.at_level(logging.WARNING):
            validated = validate_manifest(given, recipe, paths)
        record = read_json(verified_path(validated.validation))
        return record, {one["about"]: one for one in record["outcomes"] if not one["success"]}, caplog.text

    return run


def test_kermany_ends_in_its_twins_and_its_shortcuts(found_in):
    record, failed, log = found_in("kermany", KERMANY)
    assert record["n_failed"]["critical"] == 0
    assert failed[TWO_NAMES]["n_unexpected"] == 6  # three pairs, as its page says
    shortcuts = failed["no property of the file tells more than 0.05 of a label"]["offending_rows"]
    assert {"size", "aspect_ratio", "sharpness"} <= {row["property"] for row in shortcuts}
    assert all(row["finding"] == "pneumonia" and 0.1 < row["share"] < 0.6 for row in shortcuts)
    assert "aspect_ratio" in log


def test_nih_ends_in_its_one_twin(found_in):
    record, failed, _ = found_in("nih14", NIH)
    assert record["n_failed"]["critical"] == 0
    assert {row["image_id"] for row in failed[TWO_NAMES]["offending_rows"]} == {
        "images/00002658_001.png", "images/00002658_002.png",
    }  # fmt: skip
    # All are 256 px PNG here, so that no property of the file can tell anything.
    assert "no property of the file tells more than 0.05 of a label" not in failed
