from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.files import write_json
from cxr_tasks.validate.summary import NOT_RECORDED, validation_tags


def test_validation_and_drift_are_told_in_tags(tmp_path):
    write_json(
        tmp_path / "provenance.json", {"validation": {"n_expectations": 141, "n_warnings": 2, "sha256": "ab" * 32}}
    )
    write_json(tmp_path / "reference_profile.json", {"drift": {"verdict": "some", "against": "c" * 64}})
    assert validation_tags(tmp_path) == {
        "cxr.validation.n_expectations": "141",
        "cxr.validation.n_warnings": "2",
        "cxr.validation.sha256": "ab" * 32,
        "cxr.validation.drift": "some",
    }


def test_a_dataset_from_before_validation_was_recorded_says_so(tmp_path):
    write_json(tmp_path / "provenance.json", {"fingerprint": "f" * 64})
    assert set(validation_tags(tmp_path).values()) == {NOT_RECORDED}


def test_no_warning_is_a_number_and_not_missing(tmp_path):
    write_json(tmp_path / "provenance.json", {"validation": {"n_expectations": 141, "n_warnings": 0, "sha256": "a"}})
    assert validation_tags(tmp_path)["cxr.validation.n_warnings"] == "0"


def test_a_folder_without_provenance_is_no_prepared_dataset(tmp_path):
    with pytest.raises(DataDefect, match=r"provenance.json: expected a JSON file, found none"):
        validation_tags(tmp_path)
