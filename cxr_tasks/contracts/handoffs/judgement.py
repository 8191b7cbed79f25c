"""From a trained model to the gate's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.handoffs.base import Handoff

Verdict = Literal["PASS", "FAIL", "NEEDS_HUMAN"]


def is_lowered(gate_floor: Mapping[str, Any] | None) -> bool:
    """Whether a run's floor lies below the policy's; one whose policy could not be read counts as lowered."""
    if not gate_floor or gate_floor.get("run") is None:
        return False
    return gate_floor.get("policy") is None or gate_floor["run"] < gate_floor["policy"]


def marked_verdict(verdict: str, gate_floor: Mapping[str, Any] | None) -> str:
    """
    >>> marked_verdict("PASS", {"policy": 0.9, "run": 0.6})
    'PASS (with the floor lowered to 0.6 for the run; the policy asks 0.9)'
    """
    if gate_floor is None or not is_lowered(gate_floor):
        return verdict
    asked = "could not be read" if gate_floor.get("policy") is None else f"asks {gate_floor['policy']:g}"
    return f"{verdict} (with the floor lowered to {gate_floor['run']:g} for the run; the policy {asked})"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedModel(Handoff):
    """What ``evaluate`` gives to ``gate``: numbers by reference."""

    model_name: str
    mlflow_run_id: str
    predictions: ArtifactRef
    """``predictions.parquet``: one row per validation and test image (columns: ``contracts.records``)."""
    metrics: ArtifactRef
    """``metrics.json`` (see ``cxr_tasks.evaluate.assess``)."""
    test_auroc: float | None
    test_auroc_lower: float | None
    test_auroc_upper: float | None
    typicality: ArtifactRef | None = None
    """``typicality.json`` (``serving_contract.TypicalityFit``); None where it could not be fitted, or was not yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision(Handoff):
    """What ``gate`` decides; every rule is in ``decision.json``."""

    model_name: str
    verdict: Verdict
    """``NEEDS_HUMAN``: no rule failed, and one could not be decided; registered, and served only by an override."""
    reasons: tuple[str, ...]
    """One sentence per rule that was not met or not decided; empty on PASS."""
    decision: ArtifactRef
    champion_version: int | None
    dataset_fingerprint: str = ""
    """Of the prepared dataset whose test rows were judged."""
    policy: str = ""
    """Name and version of the policy that was asked, such as ``cxr_binary 1``; '' where it could not be read."""
    policy_sha256: str = ""
    """Of the policy's file."""
    gate_floor: dict[str, Any] | None = None
    """The floor of the mean AUROC that a person set for the run (``run``) in place of the policy's (``policy``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionEvidence:
    """The champion's scores on the candidate's test rows, or why there are none."""

    version: int
    predictions: Path | None = None
    """Parquet table with the columns of ``contracts.records``."""
    left_out: frozenset[str] = frozenset()
    """Ids of test images that the champion was trained on or whose patients it has seen; not compared on."""
    left_out_why: str = ""
    reason: str = ""
    """Why the champion could not be scored; exactly when ``predictions`` is None."""

    def __post_init__(self) -> None:
        if (self.predictions is None) != bool(self.reason):
            raise ValueError(f"champion {self.version}: predictions or a reason is expected, found both or neither")
