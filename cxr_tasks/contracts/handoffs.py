"""What one stage gives to the next: small, plain, by reference; JSON in Airflow's XCom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.shapes import build, plain

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
class Handoff:
    """Base: ``from_payload(to_payload(x)) == x``; a missing or unknown key is named."""

    def to_payload(self) -> dict[str, Any]:
        return plain(self)

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Self:
        return build(cls, payload, cls.__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestPlan(Handoff):
    """What ``list_images`` gives to the parts of ingest: which images there are, cut into parts, by reference."""

    dataset: str
    root: str
    """Folder that ``image_id`` paths start from."""
    parts: tuple[ArtifactRef, ...]
    """Parquet files, one per part: what the source says of each image, before any is opened."""
    refusals: ArtifactRef
    """Files that the source itself refused (columns: ``QUARANTINE_COLUMNS``)."""
    n_images: int
    n_refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedPart(Handoff):
    """What one part of ingest gives to ``collect_parts``."""

    part: int
    """Place in ``IngestPlan.parts``, from 0."""
    images: ArtifactRef
    """Parquet: what the source says and what the file holds, one row per usable image."""
    refusals: ArtifactRef
    n_usable: int
    n_refused: int
    n_reused: int
    """Images known from an earlier ingest and not opened again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestedStudies(Handoff):
    """What ``ingest`` gives to ``validate``: a manifest (columns: ``contracts.records``), by reference."""

    dataset: str
    root: str
    """Folder that the manifest's ``image_id`` paths start from."""
    manifest: ArtifactRef
    quarantine: ArtifactRef
    n_images: int
    n_patients: int
    n_quarantined: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedStudies(Handoff):
    """What ``validate`` gives to ``prepare``: the same manifest, found good."""

    dataset: str
    root: str
    manifest: ArtifactRef
    validation: ArtifactRef
    """``validation.json``: every expectation with its outcome."""
    data_docs: str
    """Path of the Data Docs' ``index.html``."""
    profile: ArtifactRef
    """``profile.json``: label rates, image statistics and metadata of the manifest, which later versions are held
    against (see ``cxr_tasks.validate.profile``)."""
    n_expectations: int
    n_warnings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDataset(Handoff):
    """What ``prepare`` gives to ``train``: a TFDS dataset that ``tfds.builder_from_directory(folder)`` opens."""

    dataset: str
    folder: str
    fingerprint: str
    """sha256 (hex) over contents and settings; also names the folder."""
    index: ArtifactRef
    """``index.parquet``: one row per example, in stored order per split (columns: ``contracts.records``)."""
    vocabulary: str
    size_px: int
    n_train: int
    n_validation: int
    n_test: int


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
    """The same images by ``train.candidates.datasets_needed``, in its order; the recipe's own first."""
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
    """``history.json``: one record per epoch."""
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
class RegisteredModel(Handoff):
    """What ``register`` gives to ``release``."""

    model_name: str
    version: int
    mlflow_run_id: str
    alias: str
    """``challenger`` or ``champion``; '' for a version that waits for a person's override."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest(Handoff):
    """What ``evidence`` gives to ``approve`` and ``settle``: a question, and what it was asked about."""

    model_name: str
    version: int
    decision_sha256: str
    """Of the gate's ``decision.json`` that the person is shown."""
    champion_version: int | None
    """Who was champion when the question was asked."""
    mlflow_run_id: str = ""
    """The run that the version was registered from: a number may come again."""
    champion_run_id: str = ""
    dataset_fingerprint: str
    limit_hours: float
    subject: str
    body: str
    """Markdown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedModel(Handoff):
    """What ``release`` gives to ``report``: a version folder that the model server has loaded."""

    model_name: str
    version: int
    mlflow_run_id: str
    folder: str
    parity: ArtifactRef
    """``parity.json``: largest difference between served and in-process answers, and the requests sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Handoff):
    """What ``report`` leaves: one self-contained HTML page."""

    model_name: str
    version: int
    page: ArtifactRef


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport(Handoff):
    """What ``monitor`` leaves of one look at what a version served."""

    model_name: str
    version: int
    mlflow_run_id: str
    recipe: str
    day: str
    """The last day that was looked at, ``YYYY-MM-DD``."""
    verdict: str
    """``drift``, ``none`` or ``too few``."""
    n_images: int
    is_new_episode: bool
    """This look raised an alarm; looks that go on finding the same do not."""
    retrain: bool
    """The alarm is to start a training (``CXR_RETRAIN_ON_DRIFT``)."""
    names: tuple[str, ...]
    """What drifts, the least probable first."""
    address: str
    """Of the page in the Airflow UI."""
    drift: ArtifactRef
    """``drift.json``."""
    page: ArtifactRef


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePlan(Handoff):
    """What planning gives to the parts of a batch scoring: a job, by its folder."""

    folder: str
    source: str
    """The folder or table whose images are scored, absolute."""
    model_name: str
    version: int
    fingerprint: str
    """sha256 of the SavedModel that serves under that number; '' where it is not known."""
    address: str
    """Of the model server."""
    n_images: int
    n_parts: int
    problems: tuple[str, ...] = ()
    """Below the folder, what could not be looked into, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPart(Handoff):
    """One part of a batch, scored to its end."""

    part: int
    n_images: int
    n_before: int
    """Of these, scored by an earlier try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredBatch(Handoff):
    """A whole batch: a table with a row for each image (columns: ``cxr_tasks.score.collect``)."""

    model_name: str
    version: int
    fingerprint: str
    parquet: ArtifactRef
    csv: ArtifactRef
    n_images: int
    n_answered: int
    n_refused: int
    n_unusual: int
    n_positive: dict[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
