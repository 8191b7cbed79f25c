"""The gate's decision as rows for the report: what was asked by which policy, and what each rule saw."""

from __future__ import annotations

from typing import Any

from cxr_tasks.contracts.decision_file import DecisionFile
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import DECISION_METRICS, FINDING_METRICS, MEAN_METRICS
from cxr_tasks.contracts.remarks import TITLES, Remark, remarks_in
from cxr_tasks.report.material import ReportInputs

_NAMES = {
    "policy": "Policy",
    "evidence": "Evidence",
    "assessable": "Enough images",
    "slices": "Groups of images",
    "slice_sensitivity_gap": "Sensitivity, worst group",
    "slice_specificity_gap": "Specificity, worst group",
    "champion": "Champion",
    "champion_finding": "Champion, by finding",
    **FINDING_METRICS,
    **{f"mean_{name}": text for name, text in MEAN_METRICS.items()},
    **{f"served_{name}": f"{text}, served decision" for name, text in DECISION_METRICS.items()},
}
#: What needs a reader comes first.
_ORDER = ("FAIL", "NEEDS_HUMAN", "NOT_ASSESSABLE", "NOT_APPLICABLE", "PASS")


def gate_section(inputs: ReportInputs) -> dict[str, Any]:
    """``asked_by`` (a sentence), ``rules`` (rows, those not met first), ``remarks`` and ``overrides``; no rules without
    a decision.

    Decisions made before there were policies name none, and their rules have no finding.
    """
    decision = inputs.decision
    rules: list[dict[str, Any]] = [
        {
            **rule,
            "label": _NAMES.get(rule["name"], rule["name"].replace("_", " ")),
            "about": display_name(rule["finding"]) if rule.get("finding") else "all",
        }
        for rule in (decision["rules"] if decision else ())
    ]
    rules.sort(key=lambda rule: _ORDER.index(rule["outcome"]))
    return {
        "asked_by": _asked_by(decision),
        "rules": rules,
        "remarks": [{"title": title_of(remark), "sentence": remark.sentence} for remark in told_remarks(inputs)],
        "overrides": inputs.overrides,
    }


def told_remarks(inputs: ReportInputs) -> list[Remark]:
    """The remarks of evaluation and gate, each once."""
    return list(dict.fromkeys([*inputs.evaluation.remarks, *remarks_in(inputs.decision)]))


def title_of(remark: Remark) -> str:
    """What the remark is shown under."""
    return TITLES.get(remark.name, remark.name.replace("_", " "))


def _asked_by(decision: DecisionFile | None) -> str:
    if not decision or not decision.get("policy_version"):
        return ""
    sentence = (
        f"Asked by policy {decision['policy']}, version {decision['policy_version']}, section "
        f"{decision['policy_section']} (sha256 {str(decision['policy_sha256'])[:12]})."
    )
    floor = decision.get("gate_floor")
    if floor:
        asked = f"the policy asks for {floor['policy']:g}"
        sentence += f" The floor of the mean AUROC was set to {floor['run']:g} for this run; {asked}."
    return sentence
