"""Which champions a release takes up, and why another may not serve."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import replace

from cxr_tasks.contracts.errors import ReleaseRefused, ServiceUnavailable
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.installation.approvers import approvers
from cxr_tasks.installation.notices import send
from cxr_tasks.registry import rest
from cxr_tasks.registry import versions as registry
from cxr_tasks.registry.audit import trail
from serving.served.state import locked, read_state, write_state

logger = logging.getLogger(__name__)

#: On a version in the registry: why it may not serve.
REFUSED_TAG = "release.refused"
AIRFLOW = "airflow"


def champion_of(model_name: str) -> RegisteredModel:
    """The registry's champion of ``model_name``; ``NoSuchVersion`` where there is none."""
    champion = rest.version_with_alias(model_name, registry.CHAMPION)
    if champion is None:
        raise registry.NoSuchVersion(
            f"{model_name}: expected a version with alias {registry.CHAMPION!r} in the registry, found none; "
            "train one first"
        )
    return RegisteredModel(
        model_name=model_name, version=champion.version, mlflow_run_id=champion.run_id, alias=registry.CHAMPION
    )


def take_up(champions: Iterable[RegisteredModel], who: str | trail.Person = AIRFLOW) -> list[RegisteredModel]:
    """The champions that may serve, each noted as being dealt with.

    Why another may not stands on its version and in the audit log, and what serves stays.

    Raises:
        ReleaseRefused: None of several, or the only one, may serve.
        ServiceUnavailable: The registry does not answer; the champion counts as not dealt with.
    """
    allowed, refusals = [], []
    for champion in champions:
        because = _why_not(champion, who)
        if because:
            refusals.append(
                f"{champion.model_name} version {champion.version} may not serve: {because}; "
                f"version {read_state(champion.model_name).stable} serves on"
            )
            logger.error("%s", refusals[-1])
            send(f"Chest X-rays: {champion.model_name} version {champion.version} is refused", refusals[-1])
        else:
            allowed.append(champion)
    if refusals and not allowed:
        raise ReleaseRefused("; ".join(refusals))
    return allowed


def _why_not(champion: RegisteredModel, who: str | trail.Person) -> str:
    """Why ``champion`` may not serve, on record; empty where it may."""
    from cxr_tasks.registry.permission import may_serve

    name, version = champion.model_name, champion.version
    before = read_state(name)
    _note_handled(name, version, champion.mlflow_run_id)
    try:
        permission = may_serve(name, version)
        if permission.allowed and not permission.by_override and (because := _wrong_way(champion)):
            permission = replace(permission, allowed=False, because=because)
        if permission.allowed:
            rest.clear_version_tags(name, version, [REFUSED_TAG])
        else:
            rest.set_version_tags(name, version, {REFUSED_TAG: permission.because})
    except ServiceUnavailable:
        _note_handled(name, before.handled, before.handled_run)
        raise
    kind: trail.Kind = "release_started" if permission.allowed else "release_refused"
    detail = {"mlflow_run_id": champion.mlflow_run_id}
    trail.record(kind, model=name, version=version, who=who, why=permission.because, detail=detail)
    return "" if permission.allowed else permission.because


def _wrong_way(champion: RegisteredModel) -> str:
    """Why the way in which the version became champion is none that its policy takes; '' where it is.

    Where the alias was moved in MLflow, nobody has asked yet whether the version was judged by today's policy; and the
    log does not have yet who moved it.
    """
    from cxr_tasks.registry.approve.promotion import require_permission
    from cxr_tasks.registry.promotion_way import way_of, why_not_promoted

    name, version, run_id = champion.model_name, champion.version, champion.mlflow_run_id
    state = read_state(name)
    if state.stable == version and state.content_of(version).mlflow_run_id == run_id:
        return ""  # it serves already: released again, such as after an upgrade
    promoted = way_of(name, version, run_id, approvers(os.environ))
    if because := why_not_promoted(name, version, promoted):
        return because
    if not promoted.is_ours:
        try:
            require_permission(name, version)
        except ReleaseRefused as error:
            return str(error)
        trail.record(
            "promoted",
            model=name,
            version=version,
            who=promoted.person or "mlflow",
            why=f"alias {registry.CHAMPION} was moved in MLflow",
            detail={"mlflow_run_id": run_id},
        )
    return ""


def _note_handled(model_name: str, version: int | None, run_id: str) -> None:
    with locked(model_name, "taking up a champion"):
        write_state(model_name, replace(read_state(model_name), handled=version, handled_run=run_id))
