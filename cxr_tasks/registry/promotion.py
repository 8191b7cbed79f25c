"""Make a version champion: the one way by which this platform moves the alias that releases follow."""

from __future__ import annotations

import logging

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.contracts.handoffs import RegisteredModel
from cxr_tasks.registry import audit, versions
from cxr_tasks.registry.permission import may_serve

logger = logging.getLogger(__name__)


def promote(model_name: str, version: int, *, who: str, why: str) -> RegisteredModel:
    """Move alias ``champion`` to ``version`` and write that into the audit log; the release follows by itself.

    Args:
        who: The person who decided.
        why: Their reason.

    Raises:
        NoSuchVersion: The registry has no such version.
        ReleaseRefused: The version may not serve; nothing was changed. The text says how a person can override.
    """
    registered = versions.find_version(model_name, version)
    require_permission(model_name, version)
    before = versions.version_with_alias(model_name, versions.CHAMPION)
    versions.set_alias(model_name, versions.CHAMPION, version)
    audit.record(
        "promoted",
        model=model_name,
        version=version,
        who=who,
        why=why,
        fingerprint=registered.tags.get("data.fingerprint", ""),
        detail={"before": None if before is None else int(before.version)},
    )
    logger.info("%s version %d is champion, by %s", model_name, version, who)
    return RegisteredModel(
        model_name=model_name, version=version, mlflow_run_id=str(registered.run_id), alias=versions.CHAMPION
    )


def require_permission(model_name: str, version: int) -> None:
    """``ReleaseRefused`` unless the version may serve; the text says why, and how a person can override."""
    permission = may_serve(model_name, version)
    if not permission.allowed:
        raise ReleaseRefused(f"{model_name} version {version} may not serve: {permission.because}")
