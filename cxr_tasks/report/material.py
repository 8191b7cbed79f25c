"""What a report is made from: plain values and paths, gathered by whoever asks for the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.dataset_files import Provenance, SplitFacts, Statistics
from cxr_tasks.contracts.decision_file import DecisionFile
from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.handoffs.training import EpochRecord
from cxr_tasks.explain.stage import Explanations
from cxr_tasks.registry.overrides import Override


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInputs:
    """One model version and all that is known of it; what is None or empty is said to be missing on the page."""

    model_name: str
    version: int
    generated_at: datetime
    evaluation: Evaluation
    """``metrics.json`` of the version's MLflow run."""
    predictions: Path
    """``predictions.parquet``, for the curves; no image id leaves it."""
    recipe: dict[str, Any]
    """``Recipe.to_dict()``."""
    recipe_sha256: str
    statistics: Statistics
    """``statistics.json`` of the prepared dataset."""
    fingerprint: str
    """Of the prepared dataset."""
    history: list[EpochRecord]
    """``history.json``."""
    best_epoch: int
    train_seconds: float
    provenance: Provenance = field(default_factory=Provenance)
    """``provenance.json`` of the prepared dataset: how it was split, and what was left out of it."""
    environment: dict[str, Any] = field(default_factory=dict)
    """``environment.json`` of the training; empty where there was none yet."""
    decision: DecisionFile | None = None
    """``decision.json`` of the gate."""
    overrides: list[Override] = field(default_factory=list)
    """Who let the version serve though it did not pass; shown as long as the version exists."""
    explanations: Explanations | None = None
    release: dict[str, Any] = field(default_factory=dict)
    """Facts of the served version, shown as they are: name -> text or number."""
    links: dict[str, str] = field(default_factory=dict)
    """Text -> address, such as the MLflow run."""
    git_commit: str | None = None
    packages: dict[str, str] = field(default_factory=dict)
    """Name -> version; empty takes those installed."""

    @property
    def splits(self) -> SplitFacts | None:
        """None where the dataset was prepared before that was kept."""
        return self.provenance.get("splits")
