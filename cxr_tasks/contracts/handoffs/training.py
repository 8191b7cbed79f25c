"""From a stored dataset to a trained model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.handoffs.base import Handoff
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset

#: An epoch as ``history.json`` has it: ``epoch`` (from 1; 0 for weights taken as they are), ``loss``, ``val_loss``,
#: ``val_auroc``, ``val_score``, ``seconds`` and more. A number that was not measured is missing or None.
EpochRecord = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCandidate:
    """One candidate of a ``TrainingPlan``."""

    number: int
    """From 1."""
    name: str
    """What differs from the recipe, for people."""
    settings: dict[str, Any] | None
    """Dotted name of a setting -> value; None where a search proposes them when the training starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan(Handoff):
    """What all candidates of a run are trained by; with a number out of ``candidates`` it is one training."""

    model_name: str
    run_name: str
    recipe: dict[str, Any]
    """``Recipe.to_dict()`` of the recipe that the candidates differ from."""
    datasets: tuple[PreparedDataset, ...]
    """The same images by ``train.candidates.candidates.datasets_needed``, in its order; the recipe's own first."""
    candidates: tuple[PlannedCandidate, ...]
    parent_run_id: str | None
    """MLflow run that the candidates' runs are children of; None where one candidate is all there is."""
    tags: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel(Handoff):
    """What ``train`` gives to ``evaluate``: one candidate."""

    model_name: str
    recipe_sha256: str
    dataset_fingerprint: str
    mlflow_run_id: str
    model: ArtifactRef
    """A Keras ``.keras`` file: float32 (n, size, size, 1) in [0, 1] -> logits float32 (n, k)."""
    history: ArtifactRef
    """``history.json``: an ``EpochRecord`` per epoch."""
    best_epoch: int
    epochs_run: int
    val_auroc: float
    """Exact mean AUROC of the kept model on validation, over the findings that are assessable there."""
    val_auroc_lower: float | None = None
    val_auroc_upper: float | None = None
    seconds: float
    candidate: int = 1
    """Number in the ``TrainingPlan``."""
    candidate_name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    """What the candidate's recipe has differently from the plan's."""
    validation: ArtifactRef | None = None
    """``validation.npz``: the kept model's logits on validation (``train.loop.validation_logits.ValidationLogits``)."""
    stopped_by: str = ""
    """Why training ended before its last epoch; '' where it did not."""
    was_ended_by_clock: bool = False
    """Whether ``train.max_minutes`` ended it."""
    remarks: tuple[dict[str, str], ...] = ()
    """What a reader of its numbers has to know of the weights it started from (``contracts.remarks``)."""
    epochs_asked: int = 0
    """Most epochs that the recipe asks for; 0 where it was trained before this was kept."""
    was_ended_early: bool = False
    """Whether a search ended it, as it fell behind other candidates."""
