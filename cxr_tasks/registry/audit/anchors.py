"""What the audit log ended with, kept outside it: a cut tail, or a log written anew, does not agree with it.

Two anchors: ``head`` beside the log, renewed with each record, and the tag ``audit.head`` on the registered model
in MLflow. Neither is moved on by a log that contradicts it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.installation.storage.paths import audit_log, home
from cxr_tasks.installation.storage.private import write_private_text
from cxr_tasks.registry.audit.chain import AuditEntry

TAG = "audit.head"

#: How long one request to MLflow may take; what is recorded stands already and must not wait for it.
_PATIENCE_S = 5


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of a log at some time."""

    seq: int
    digest: str

    @classmethod
    def of(cls, entry: AuditEntry) -> Head:
        return cls(entry.seq, entry.digest)

    @classmethod
    def read(cls, text: str) -> Head:
        """From ``seq:digest``; anything else is a ``ValueError``."""
        if not (parts := re.fullmatch(r"([0-9]{1,12}):([0-9a-f]{64})", text.strip())):
            raise ValueError(f"expected seq:digest, found {text[:100]!r}")
        return cls(int(parts[1]), parts[2])

    def __str__(self) -> str:
        return f"{self.seq}:{self.digest}"

    def contradicts(self, entries: Sequence[AuditEntry]) -> str:
        """Why a log with these entries is not one that had this head; empty where it may be the same, gone on."""
        if not entries or entries[-1].seq < self.seq:
            ends = f"ends with seq {entries[-1].seq}" if entries else "has no entry"
            return f"seq {self.seq} had been recorded, the log {ends}: its last entries were removed"
        digest = {entry.seq: entry.digest for entry in entries}.get(self.seq)
        if digest != self.digest:
            shown = f"digest {digest[:12]}..." if digest else "no such entry"
            return (
                f"seq {self.seq} was recorded with digest {self.digest[:12]}..., the log has {shown}: "
                "it was written anew from there or from before"
            )
        return ""


def local_head() -> Head | None:
    """The anchor beside the log; None before the first record.

    Raises:
        ValueError: It is not one.
    """
    path = _local_path()
    try:
        return Head.read(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None


def write_local_head(head: Head) -> None:
    """Called with the log locked."""
    write_private_text(_local_path(), f"{head}\n")


def registry_is_there() -> bool:
    """Whether this run-time folder has an MLflow to ask: a server in the environment, or a database of its own."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) or (home() / "mlflow" / "mlflow.db").is_file()


def registry_heads() -> dict[str, str]:
    """Model name -> its tag, for every registered model that bears one.

    Raises:
        ServiceUnavailable: MLflow does not answer.
    """
    from cxr_tasks.registry import tracking

    with _short_patience(), tracking.outside_failures("MLflow"):
        models = tracking.client().search_registered_models()
    return {model.name: model.tags[TAG] for model in models if model.tags.get(TAG)}


def anchor_in_registry(model: str, entries: Sequence[AuditEntry]) -> bool:
    """Move the tag of ``model`` on to the end of the log; False where no such model is registered yet.

    By plain requests: a rollback is recorded in less time than MLflow's import takes.

    Raises:
        ValueError: The tag contradicts the log; it is left as it is, for a person to look at.
        ServiceUnavailable, MlflowException: MLflow does not answer, or refuses.
    """
    from cxr_tasks.registry import rest

    with _short_patience():
        tags = rest.model_tags(model)
        if tags is None:
            return False
        told = tags.get(TAG)
        if told and (problem := Head.read(told).contradicts(entries)):
            raise ValueError(problem)
        rest.set_model_tag(model, TAG, str(Head.of(entries[-1])))
    return True


def _local_path() -> Path:
    return audit_log().with_name("head")


@contextlib.contextmanager
def _short_patience() -> Iterator[None]:
    """MLflow's client tries again for minutes; here one try must do."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(_PATIENCE_S)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
