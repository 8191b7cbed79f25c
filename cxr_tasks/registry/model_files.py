"""The files of a version are those that its gate judged: their digests, told by the audit log, held against the files.

Whoever reaches MLflow's artifacts can put another model there. So the digests are taken when a version is registered,
from the very files that were measured, and stand in the audit log (and as tags, which a person sees); every load of a
version compares them.

Versions registered before this was recorded have none: the first load writes theirs into the log, and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.files import sha256_file
from cxr_tasks.registry.audit import trail

logger = logging.getLogger(__name__)

#: Tags on a version: digests of its files as they were put into MLflow. ``model.sha256`` of versions registered before
#: is that of the file before MLflow saved it anew, so it says nothing of the file there.
MODEL_TAG, CONTRACT_TAG = "model.file_sha256", "contract.file_sha256"
_KINDS = ("registered", "model_pinned")


@dataclass(frozen=True, slots=True)
class FileDigests:
    """sha256 (hex) of a version's files; '' where it was never recorded."""

    model: str = ""
    """Of the ``.keras`` file."""
    contract: str = ""
    """Of ``serving.json``: pixels, calibration, thresholds."""

    @classmethod
    def of(cls, model_path: Path, contract_path: Path) -> FileDigests:
        return cls(sha256_file(model_path), sha256_file(contract_path))

    def as_tags(self) -> dict[str, str]:
        return {MODEL_TAG: self.model, CONTRACT_TAG: self.contract}

    def as_detail(self) -> dict[str, str]:
        """As the audit log keeps them."""
        return {"model_sha256": self.model, "contract_sha256": self.contract}


def recorded_digests(model_name: str, version: int, run_id: str, tags: Mapping[str, str]) -> FileDigests:
    """What was recorded of a version's files when it was registered, or first loaded: the log before the tags.

    A number that came again, with another run, has nothing in common with the one before.
    """
    digests = FileDigests(tags.get(MODEL_TAG, ""), tags.get(CONTRACT_TAG, ""))
    for entry in trail.entries(model_name):
        detail = entry.detail
        if entry.kind in _KINDS and entry.version == version and detail.get("mlflow_run_id") == run_id:
            digests = FileDigests(
                str(detail.get("model_sha256") or digests.model), str(detail.get("contract_sha256") or digests.contract)
            )
    return digests


def require_recorded(
    model_name: str, version: int, run_id: str, tags: Mapping[str, str], model_path: Path, contract_path: Path
) -> FileDigests:
    """The digests of a version's files, once they are known to be those that were recorded.

    Raises:
        DataDefect: A file is another one than was registered; both digests are named, and what to do.
    """
    recorded = recorded_digests(model_name, version, run_id, tags)
    digests = FileDigests.of(model_path, contract_path)
    for what, expected, came in (
        (model_path.name, recorded.model, digests.model),
        (contract_path.name, recorded.contract, digests.contract),
    ):
        if expected and came != expected:
            raise DataDefect(
                f"{model_name} version {version}: expected the {what} that was registered (sha256 {expected[:12]}...), "
                f"found another one among its artifacts in MLflow (sha256 {came[:12]}...); it was put there after the "
                "gate had decided, and is not loaded. Restore the artifact from a backup, or train again; find out who "
                "can write MLflow's artifacts"
            )
    if not recorded.model or not recorded.contract:
        trail.record(
            "model_pinned",
            model=model_name,
            version=version,
            who="cxr",
            why="registered before digests of files were recorded: from now on they are held to these",
            detail={"mlflow_run_id": run_id, **digests.as_detail()},
        )
        logger.warning(
            "%s version %d was registered before the digests of its files were recorded; they are recorded now (model "
            "%s...)",
            model_name,
            version,
            digests.model[:12],
        )
    return digests
