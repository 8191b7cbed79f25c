"""From a verdict to a version that serves, and its report."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.handoffs.base import Handoff


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
