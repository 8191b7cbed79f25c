"""The alias moves for a version that may serve, and the log says who moved it; else nothing moves."""

from __future__ import annotations

import dataclasses

import pytest

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.contracts.policies import load_policy
from cxr_tasks.contracts.promotion_specs import PromotionSpec
from cxr_tasks.registry import permission
from cxr_tasks.registry.approve.promotion import promote, require_permission
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.overrides import record_override
from cxr_tasks.registry.versions import NoSuchVersion
from tests.registry.proposed import MODEL, champion

pytestmark = pytest.mark.mlflow


def test_the_alias_moves_and_the_log_says_who(propose_version):
    first, second = propose_version(), propose_version()
    promote(MODEL, first, who="dr.weber", why="first model")
    made = promote(MODEL, second, who="dr.okafor", why="finds more")
    assert (made.version, made.alias, champion()) == (second, "champion", second)
    told = [
        (one.version, one.who, one.why, one.detail["before"]) for one in trail.entries(MODEL) if one.kind == "promoted"
    ]
    assert told == [(first, "dr.weber", "first model", None), (second, "dr.okafor", "finds more", first)]
    assert trail.entries(MODEL)[-1].fingerprint == "ef" * 32


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


def test_a_version_judged_by_another_policy_is_judged_again_or_overridden(propose_version):
    """As after an upgrade that asks more: the verdict was reached by what is asked no more."""
    asked = {"mean": {"auroc": {"lower_at_least": 0.5}}}
    former = propose_version(policy_sha256="12" * 32, policy_version=1, asked=asked)
    with pytest.raises(ReleaseRefused, match=r"was judged by policy version 1 .* today it is .*asks is another"):
        promote(MODEL, former, who="dr.weber", why="first model")
    assert champion() is None
    record_override(MODEL, former, "A. Okafor", "the old bound was met by far")
    promote(MODEL, former, who="dr.weber", why="first model")
    assert champion() == former


def test_a_policy_that_was_changed_elsewhere_is_only_told_of(propose_version, caplog):
    version = propose_version(policy_sha256="12" * 32)
    assert "asks is the same: the file differs elsewhere" in require_permission(MODEL, version)
    promote(MODEL, version, who="dr.weber", why="first model")
    assert "the file differs elsewhere" in caplog.text
    assert require_permission(MODEL, propose_version()) == ""


def test_a_verdict_with_a_lowered_floor_is_marked_and_needs_an_override_where_the_policy_says_so(
    propose_version, monkeypatch
):
    version = propose_version(gate_floor={"policy": 0.9, "run": 0.6})
    raised = propose_version(gate_floor={"policy": 0.9, "run": 0.95})
    marked = "PASS (with the floor lowered to 0.6 for the run; the policy asks 0.9)"
    assert marked in permission.may_serve(MODEL, version).because
    assert "lowered" not in permission.may_serve(MODEL, raised).because
    # A tag that was cleared takes nothing away: the audit log has it.
    strict = dataclasses.replace(load_policy(MODEL), promotion=PromotionSpec(lowered_floor="override"))
    monkeypatch.setattr(permission, "load_policy", lambda name: strict)
    with pytest.raises(ReleaseRefused, match=r"which its policy takes for no PASS \(promotion.lowered_floor\)"):
        promote(MODEL, version, who="dr.weber", why="first model")
    assert permission.may_serve(MODEL, raised).allowed
    record_override(MODEL, version, "A. Okafor", "a trial")
    promote(MODEL, version, who="dr.weber", why="first model")
    assert champion() == version
