"""May a version serve? The one question that approval, promotion and release all ask."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.handoffs.judgement import is_lowered, marked_verdict
from cxr_tasks.contracts.policies import load_policy
from cxr_tasks.registry import versions
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.audit.trail import AuditEntry

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Whether a version may serve, and why or why not, for a person."""

    allowed: bool
    because: str
    by_override: bool = False
    """Whether somebody answers for it by name, whatever gate and policy say."""


def may_serve(model_name: str, version: int) -> Permission:
    """Whether the version passed its gate, or somebody overrode the gate.

    Tags can be written by anyone who reaches the MLflow UI, so they alone permit nothing: the audit log must have the
    verdict PASS on the decision that the version's tag names, the last on its run, and the version must be the one made
    of that decision. A number that comes again, in a registry made anew, takes over neither verdict nor override: both
    are of a run.

    Raises:
        NoSuchVersion: The registry has no such version.
        ServiceUnavailable: MLflow does not answer.
    """
    registered = versions.find_version(model_name, version)
    tags, run_id = dict(registered.tags), str(registered.run_id or "")
    logged = trail.entries(model_name)
    verdict, decision = tags.get("gate.verdict", ""), tags.get("gate.decision_sha256", "")
    overrides = [entry for entry in logged if is_override_of(entry, registered, logged)]
    if verdict == "PASS":
        floor = logged_floor(logged, decision)
        shown = marked_verdict(verdict, floor)
        problem = _unproven(logged, version, decision, run_id)
        if not problem and is_lowered(floor) and load_policy(model_name).promotion.lowered_floor == "override":
            problem = f"its gate verdict is {shown}, which its policy takes for no PASS (promotion.lowered_floor)"
        if not problem:
            because = f"its gate verdict is {shown} (decision {decision[:12]})"
            return Permission(allowed=True, because=because, by_override=bool(overrides))
    else:
        reasons = tags.get("gate.reasons", "")
        problem = f"its gate verdict is {verdict or 'missing'}" + (f": {reasons}" if reasons else "")
    if overrides:
        last = overrides[-1]
        return Permission(
            allowed=True,
            because=f"override of {last.who}{_claim(last)} at {last.at}: {last.why} ({problem})",
            by_override=True,
        )
    how = f"cxr override {model_name} {version} --by NAME --reason TEXT"
    return Permission(allowed=False, because=f"{problem}; only an override lets it serve: {how}")


def logged_floor(logged: list[AuditEntry], decision: str) -> dict[str, Any] | None:
    """The floor that was set for the run of a decision, as the audit log has it; None where it was the policy's."""
    judged = [entry for entry in logged if entry.kind == "verdict" and entry.detail.get("decision_sha256") == decision]
    return judged[-1].detail.get("gate_floor") if judged else None


def _claim(entry: AuditEntry) -> str:
    return f" ({entry.known_by})" if entry.known_by else ""


def is_override_of(entry: AuditEntry, registered: ModelVersion, logged: list[AuditEntry]) -> bool:
    """Whether an entry overrides the gate for this very version.

    Entries written before runs were kept name a decision, whose run the log knows; where there was none either, the
    number must not have been given to another version since.
    """
    version, run_id = int(registered.version), str(registered.run_id or "")
    decision = registered.tags.get("gate.decision_sha256", "")
    if entry.kind != "override" or entry.version != version:
        return False
    named = entry.detail.get("mlflow_run_id")
    if named:
        return named == run_id
    if registered.creation_timestamp / 1000 > datetime.fromisoformat(entry.at).timestamp():
        return False  # it was made after the override
    of_decision = str(entry.detail.get("decision_sha256") or "")
    if of_decision:
        runs = {
            decided.detail.get("mlflow_run_id")
            for decided in logged
            if decided.detail.get("decision_sha256") == of_decision
        }
        return of_decision == decision or run_id in runs - {None, ""}
    later = (
        logged_entry
        for logged_entry in logged
        if logged_entry.kind == "registered" and logged_entry.version == version and logged_entry.seq > entry.seq
    )
    return not decision and not any(later)


def _unproven(logged: list[AuditEntry], version: int, decision: str, run_id: str) -> str:
    """Why the log does not bear out a tag that says PASS; empty where it does."""
    if not decision:
        return "its tags say PASS, and name no decision"
    judged = [entry for entry in logged if entry.kind == "verdict" and entry.detail.get("decision_sha256") == decision]
    if not any(entry.detail.get("verdict") == "PASS" for entry in judged):
        verdicts = ", ".join(sorted({str(entry.detail.get("verdict")) for entry in judged})) or "no verdict"
        return f"its tags say PASS, the audit log has {verdicts} on decision {decision[:12]}"
    runs = {entry.detail.get("mlflow_run_id") for entry in judged} - {None}
    if runs and run_id not in runs:
        return f"its tags name decision {decision[:12]}, which is about another run than the version's"
    again = [entry for entry in logged if entry.kind == "verdict" and entry.detail.get("mlflow_run_id") in runs]
    if again and again[-1].detail.get("decision_sha256") != decision:
        return f"its run was judged again after decision {decision[:12]}: {again[-1].detail.get('verdict')}"
    made_of = [entry for entry in logged if entry.kind == "registered" and entry.version == version]
    is_of_decision = any(entry.detail.get("decision_sha256") == decision for entry in made_of)
    if not is_of_decision and not any(entry.version == version for entry in judged):
        return f"its tags name decision {decision[:12]}, from which the audit log knows no version {version}"
    return ""
