from __future__ import annotations

import re
from collections import Counter

import pytest

from cxr_tasks.contracts.labels import VOCABULARIES, findings_of
from cxr_tasks.contracts.records import MANIFEST_COLUMNS

pytestmark = pytest.mark.gx


@pytest.fixture(scope="module", params=VOCABULARIES)
def suite(request):
    from expectations.manifest import build_manifest_suite

    return build_manifest_suite(request.param), findings_of(request.param)


def test_every_contract_column_has_a_type_and_every_finding_its_states(suite):
    built, findings = suite
    typed = {one.column for one in built.expectations if one.expectation_type == "expect_column_values_to_be_of_type"}
    assert typed == {*MANIFEST_COLUMNS, *(f"label_{finding}" for finding in findings)}
    in_set = {one.column for one in built.expectations if one.expectation_type == "expect_column_values_to_be_in_set"}
    assert {f"label_{finding}" for finding in findings} <= in_set


def test_types_are_those_of_the_contract(suite):
    built, _ = suite
    typed = {
        one.column: one.type_
        for one in built.expectations
        if one.expectation_type == "expect_column_values_to_be_of_type" and one.column in MANIFEST_COLUMNS
    }
    words = {"str": "str", "int": "int64", "float": "float64"}
    assert typed == {name: words[about.split()[0].strip(",")] for name, about in MANIFEST_COLUMNS.items()}


def test_no_finding_has_its_rule_where_it_is_in_the_vocabulary(suite):
    built, findings = suite
    columns = Counter(getattr(one, "column", "") for one in built.expectations)
    assert ("is_no_finding_contradicted" in columns) == ("no_finding" in findings)


def test_what_ingest_takes_is_what_is_expected():
    from cxr_tasks.images.inspection import by_pillow
    from cxr_tasks.images.rules import TAKEN
    from expectations import manifest

    assert set(manifest._FORMATS) == {*TAKEN.replace(" or ", ", ").split(", "), "DICOM"}
    assert set(manifest._MODES) == set(by_pillow.USABLE_MODES)


@pytest.mark.parametrize("column", ["file_sha256", "pixel_hash", "perceptual_hash"])
def test_hashes_have_the_form_that_is_expected(suite, column, tmp_path):
    """As inspection gives them, not as a test would write them."""
    import numpy as np
    from PIL import Image

    from cxr_tasks.ingest.inspection.inspect import Inspection
    from tests.ingest.inspected_files import inspect_file

    Image.fromarray(np.random.default_rng(1).integers(0, 256, (80, 80), dtype=np.uint8)).save(tmp_path / "a.png")
    found = inspect_file(tmp_path, "a.png")
    assert isinstance(found, Inspection)
    built, _ = suite
    (expected,) = (
        one.regex
        for one in built.expectations
        if one.expectation_type == "expect_column_values_to_match_regex" and one.column == column
    )
    assert re.match(expected, getattr(found, column))
