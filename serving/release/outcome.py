"""How a release ended, as the registry and the audit log are told it, and what the log says of the last one."""

from __future__ import annotations

import logging

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.registry import rest, tracking
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.run_log import RunLog
from serving.served.state import Content

logger = logging.getLogger(__name__)

#: Tags on a version in the registry.
SERVED_TAG = "release.served"
FAILED_TAG = "release.failed"


def is_last_served(champion: RegisteredModel, content: Content) -> bool:
    """Whether the audit log has this very version serving now; of entries without a digest, the number decides."""
    served = [entry for entry in trail.entries(champion.model_name) if entry.kind in ("served", "rolled_back")]
    if not served or served[-1].version != champion.version:
        return False
    told = served[-1].detail
    return all(
        told.get(key) in (None, "", expected)
        for key, expected in (("mlflow_run_id", content.mlflow_run_id), ("export_sha256", content.export_sha256))
    )


def note_failure(champion: RegisteredModel, error: BaseException, who: str | trail.Person) -> None:
    """Note a failed release on the version and in the audit log; a note that fails must not hide the failure itself."""
    why = str(error) or type(error).__name__
    name, version = champion.model_name, champion.version
    try:
        trail.record("release_failed", model=name, version=version, who=who, why=why)
        rest.set_version_tags(name, version, {FAILED_TAG: why[:500]})
    except (OSError, ServiceUnavailable) as second:
        logger.warning("the failed release of %s version %d could not be noted: %s", name, version, second)


def tell_registry(champion: RegisteredModel, parity: ArtifactRef) -> None:
    """Tag the version as served and no longer failed, and put ``parity.json`` beside its run."""
    rest.set_version_tags(champion.model_name, champion.version, {SERVED_TAG: "true"})
    rest.clear_version_tags(champion.model_name, champion.version, [FAILED_TAG])
    RunLog(tracking.client(), champion.mlflow_run_id).artifact(verified_path(parity), "release")
