"""What comes after a release: looks for drift, and scoring of many images."""

from __future__ import annotations

from dataclasses import dataclass, field

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.handoffs.base import Handoff


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
