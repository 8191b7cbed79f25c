"""Make a version champion: the one way by which this platform moves the alias that releases follow."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.decision_file import DecisionFile
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, ReleaseRefused
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.policies import load_policy, policy_change
from cxr_tasks.installation.storage.changes import work_folder
from cxr_tasks.installation.storage.files import read_json, sha256_file
from cxr_tasks.registry import tracking, versions
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.permission import may_serve

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)


def promote(model_name: str, version: int, *, who: str | trail.Person, why: str) -> RegisteredModel:
    """Move alias ``champion`` to ``version`` and write that into the audit log; the release follows by itself.

    Args:
        who: The person who decided.
        why: Their reason.

    Raises:
        NoSuchVersion: The registry has no such version.
        ReleaseRefused: The version may not serve; nothing was changed. The text says how a person can override.
    """
    registered = versions.find_version(model_name, version)
    if note := require_permission(model_name, version):
        logger.warning("%s", note)
    before = versions.version_with_alias(model_name, versions.CHAMPION)
    versions.set_alias(model_name, versions.CHAMPION, version)
    trail.record(
        "promoted",
        model=model_name,
        version=version,
        who=who,
        why=why,
        fingerprint=registered.tags.get("data.fingerprint", ""),
        detail={
            "before": None if before is None else int(before.version),
            "mlflow_run_id": str(registered.run_id or ""),
            "policy_sha256": registered.tags.get("gate.policy_sha256", ""),
        },
    )
    logger.info("%s version %d is champion, by %s", model_name, version, who)
    return RegisteredModel(
        model_name=model_name, version=version, mlflow_run_id=str(registered.run_id), alias=versions.CHAMPION
    )


def require_permission(model_name: str, version: int) -> str:
    """A note on the policy where it was changed elsewhere since, else ''; ``ReleaseRefused`` unless the version may
    serve and was judged by what is asked today.

    The text says why, and how a person can override: an override stands for a change of the policy too.
    """
    permission = may_serve(model_name, version)
    if not permission.allowed:
        raise ReleaseRefused(f"{model_name} version {version} may not serve: {permission.because}")
    if permission.by_override:
        return ""
    changed, note = policy_today(model_name, version)
    if changed:
        raise ReleaseRefused(
            f"{model_name} version {version} may not be promoted: {changed} To have it measured and judged again, "
            "clear task 'evaluate' of its training run in Airflow with all that follows it, or train it again; where a "
            f"person answers for it: cxr override {model_name} {version} --by NAME --reason TEXT"
        )
    return note


def policy_today(model_name: str, version: int) -> tuple[str, str]:
    """How today's policy differs from the one that a version was judged by: first where it asks something else of the
    version's dataset, second where only the rest of the file differs; '' and '' where it is the same to the byte.

    Raises:
        DataDefect: The version's run holds no decision, or another one than it was registered with.
    """
    registered = versions.find_version(model_name, version)
    with contextlib.suppress(ConfigurationError):
        if load_policy(model_name).sha256 == registered.tags.get("gate.policy_sha256"):
            return "", ""
    with work_folder() as work:
        decision, _ = decision_of(registered, work)
    sentence = policy_change(decision)
    return ("", sentence) if "asks is the same" in sentence else (sentence, "")


def decision_of(version: ModelVersion, work: Path) -> tuple[DecisionFile, str]:
    """``decision.json`` of a version's run, and its sha256, which is the one the version was registered with."""
    work.mkdir(parents=True, exist_ok=True)
    with tracking.outside_failures("MLflow"):
        path = Path(tracking.client().download_artifacts(str(version.run_id), "gate/decision.json", str(work)))
    sha256, registered = sha256_file(path), version.tags.get("gate.decision_sha256", "")
    if sha256 != registered:
        raise DataDefect(
            f"{version.name} version {version.version}: expected the decision with sha256 {registered[:12]}... on "
            f"MLflow run {version.run_id}, found {sha256[:12]}...; it was changed after the version was registered"
        )
    return read_json(path), sha256
