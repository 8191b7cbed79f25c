"""``decision.json``: what the gate writes of a decision, and registry, report and policies read.

What is not required is lacking in files of former formats.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class RuleRecord(TypedDict):
    """One rule and what it saw (``gate.evidence.Rule``)."""

    name: str
    outcome: str
    sentence: str
    finding: NotRequired[str]
    """Empty where the rule is on the model as a whole."""
    value: NotRequired[float | None]
    lower: NotRequired[float | None]
    upper: NotRequired[float | None]
    bound: NotRequired[float | None]


class PolicyFacts(TypedDict):
    """The policy that was asked; None throughout where it could not be read."""

    policy: NotRequired[str | None]
    policy_version: NotRequired[int | None]
    policy_sha256: NotRequired[str | None]
    policy_section: NotRequired[str | None]
    asked: NotRequired[dict[str, Any] | None]
    """The section as it was asked, without the settings that are None."""


class DecisionFile(PolicyFacts):
    """The whole of ``decision.json``."""

    format: NotRequired[int]
    model_name: NotRequired[str]
    verdict: str
    reasons: list[str]
    rules: list[RuleRecord]
    remarks: NotRequired[list[dict[str, str]]]
    gate_floor: NotRequired[dict[str, float | None] | None]
    """The floor of the mean AUROC that a person set for the run (``run``), and the policy's (``policy``)."""
    dataset: NotRequired[str]
    dataset_fingerprint: NotRequired[str]
    rows_sha256: NotRequired[str]
    """Of the test rows that were judged."""
    recipe: NotRequired[str]
    recipe_sha256: NotRequired[str]
    mlflow_run_id: NotRequired[str]
    predictions_sha256: NotRequired[str]
    metrics_sha256: NotRequired[str]
    champion_version: NotRequired[int | None]
    """With which it was compared; None where there was none."""
