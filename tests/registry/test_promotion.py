"""The alias moves for a version that may serve, and the log says who moved it; else nothing moves."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.registry import audit
from cxr_tasks.registry.overrides import record_override
from cxr_tasks.registry.promotion import promote
from cxr_tasks.registry.versions import NoSuchVersion
from tests.registry.proposed import MODEL, champion

pytestmark = pytest.mark.mlflow


def test_the_alias_moves_and_the_log_says_who(propose_version):
    first, second = propose_version(), propose_version()
    promote(MODEL, first, who="dr.weber", why="first model")
    made = promote(MODEL, second, who="dr.okafor", why="finds more")
    assert (made.version, made.alias, champion()) == (second, "champion", second)
    told = [
        (one.version, one.who, one.why, one.detail["before"]) for one in audit.entries(MODEL) if one.kind == "promoted"
    ]
    assert told == [(first, "dr.weber", "first model", None), (second, "dr.okafor", "finds more", first)]
    assert audit.entries(MODEL)[-1].fingerprint == "ef" * 32


def test_a_version_that_may_not_serve_stays_where_it_is(propose_version):
    first, second = propose_version(), propose_version(verdict="NEEDS_HUMAN")
    promote(MODEL, first, who="dr.weber", why="first model")
    with pytest.raises(ReleaseRefused, match=f"version {second} may not serve: .*cxr override {MODEL} {second}"):
        promote(MODEL, second, who="dr.weber", why="I want it")
    assert champion() == first
    record_override(MODEL, second, "dr.weber", "compared by hand")
    promote(MODEL, second, who="dr.weber", why="I want it")
    assert champion() == second


def test_a_version_that_is_not_there_is_answered_with_those_that_are(propose_version):
    propose_version()
    with pytest.raises(NoSuchVersion, match=r"expected a version 9 in the registry, found 1"):
        promote(MODEL, 9, who="dr.weber", why="first model")
