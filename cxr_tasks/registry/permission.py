"""May a version serve? The one question that approval, promotion and release all ask."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_tasks.registry import audit, versions
from cxr_tasks.registry.audit import AuditEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """Whether a version may serve, and why or why not, for a person."""

    allowed: bool
    because: str


def may_serve(model_name: str, version: int) -> Permission:
    """Whether the version passed its gate, or somebody overrode the gate.

    Tags can be written by anyone who reaches the MLflow UI, so they alone permit nothing: the audit log must have the
    verdict PASS on the decision that the version's tag names, the last on its run, and the version must be the one made
    of that decision.

    Raises:
        NoSuchVersion: The registry has no such version.
        ServiceUnavailable: MLflow does not answer.
    """
    tags = versions.version_tags(model_name, version)
    logged = audit.entries(model_name)
    verdict, decision = tags.get("gate.verdict", ""), tags.get("gate.decision_sha256", "")
    if verdict == "PASS":
        problem = _unproven(logged, version, decision)
        if not problem:
            return Permission(allowed=True, because=f"its gate verdict is PASS (decision {decision[:12]})")
    else:
        reasons = tags.get("gate.reasons", "")
        problem = f"its gate verdict is {verdict or 'missing'}" + (f": {reasons}" if reasons else "")
    overrides = [one for one in logged if one.kind == "override" and one.version == version]
    if overrides:
        last = overrides[-1]
        return Permission(allowed=True, because=f"override of {last.who} at {last.at}: {last.why} ({problem})")
    how = f"cxr override {model_name} {version} --by NAME --reason TEXT"
    return Permission(allowed=False, because=f"{problem}; only an override lets it serve: {how}")


def _unproven(logged: list[AuditEntry], version: int, decision: str) -> str:
    """Why the log does not bear out a tag that says PASS; empty where it does."""
    if not decision:
        return "its tags say PASS, and name no decision"
    judged = [one for one in logged if one.kind == "verdict" and one.detail.get("decision_sha256") == decision]
    if not any(one.detail.get("verdict") == "PASS" for one in judged):
        found = ", ".join(sorted({str(one.detail.get("verdict")) for one in judged})) or "no verdict"
        return f"its tags say PASS, the audit log has {found} on decision {decision[:12]}"
    runs = {one.detail.get("mlflow_run_id") for one in judged} - {None}
    again = [one for one in logged if one.kind == "verdict" and one.detail.get("mlflow_run_id") in runs]
    if again and again[-1].detail.get("decision_sha256") != decision:
        return f"its run was judged again after decision {decision[:12]}: {again[-1].detail.get('verdict')}"
    made_of = [one for one in logged if one.kind == "registered" and one.version == version]
    is_of_decision = any(one.detail.get("decision_sha256") == decision for one in made_of)
    if not is_of_decision and not any(one.version == version for one in judged):
        return f"its tags name decision {decision[:12]}, from which the audit log knows no version {version}"
    return ""
