from __future__ import annotations

from collections import Counter

import pytest

from cxr_tasks.contracts.labels import VOCABULARIES, findings_of
from cxr_tasks.contracts.records import MANIFEST_COLUMNS

pytestmark = pytest.mark.gx


@pytest.fixture(scope="module", params=VOCABULARIES)
def suite(request):
    from expectations.manifest import build_manifest_suite

    return build_manifest_suite(findings_of(request.param)), findings_of(request.param)


def test_every_expectation_has_a_severity_and_says_what_it_is_for(suite):
    built, _ = suite
    severities = Counter(one.severity.value for one in built.expectations)
    assert set(severities) == {"critical", "warning"}
    assert all(one.notes for one in built.expectations)


def test_every_contract_column_has_a_type_and_every_finding_its_states(suite):
    built, findings = suite
    typed = {one.column for one in built.expectations if one.expectation_type == "expect_column_values_to_be_of_type"}
    assert typed == {*MANIFEST_COLUMNS, *(f"label_{finding}" for finding in findings)}
    in_set = {one.column for one in built.expectations if one.expectation_type == "expect_column_values_to_be_in_set"}
    assert {f"label_{finding}" for finding in findings} <= in_set


def test_no_expectation_is_there_twice(suite):
    built, _ = suite
    told = [(one.expectation_type, str(one.configuration.kwargs)) for one in built.expectations]
    assert len(told) == len(set(told))


def test_suites_of_vocabularies_have_names_of_their_own():
    from expectations.manifest import build_manifest_suite

    names = {build_manifest_suite(findings).name for findings in VOCABULARIES.values()}
    assert len(names) == len(VOCABULARIES)
