"""What a person answered when asked whether a version shall serve, and what follows from it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cxr_tasks.contracts.errors import CxrError, NotApproved, ReleaseRefused
from cxr_tasks.contracts.handoffs import ApprovalRequest, RegisteredModel
from cxr_tasks.registry import audit, versions
from cxr_tasks.registry.promotion import promote, require_permission

logger = logging.getLogger(__name__)

APPROVE, REJECT = "Approve", "Reject"
NO_REASON = "no reason given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A person's answer; ``choice`` is '' where nobody answered in time."""

    choice: str
    who: str
    reason: str

    @classmethod
    def from_hitl(cls, given: Mapping[str, Any]) -> Answer:
        """From what Airflow's human-in-the-loop task hands on."""
        chosen = given.get("chosen_options") or [""]
        person = given.get("responded_by_user") or {}
        reason = str((given.get("params_input") or {}).get("reason") or "").strip()
        return cls(choice=chosen[0], who=person.get("name") or person.get("id") or "airflow", reason=reason)


def settle(request: ApprovalRequest, answer: Answer, *, run: str) -> RegisteredModel | None:
    """Do as was answered: the new champion on approval, None on rejection. The answer is kept in the audit log.

    It may be repeated after a failure in the middle: the answer to ``run`` is recorded once.

    Args:
        run: The DAG run in which the question was asked.

    Raises:
        ReleaseRefused: Approved, but version or champion are not what the evidence showed any more.
        NotApproved: Nobody answered in time.
    """
    if answer.choice == APPROVE:
        return _approved(request, answer, run)
    if answer.choice == REJECT:
        why = answer.reason or NO_REASON
        _keep("rejected", request, answer.who, why, run, {"approval.rejected_by": answer.who})
        logger.info("%s version %d was rejected by %s: %s", request.model_name, request.version, answer.who, why)
        return None
    why = f"nobody answered within {request.limit_hours:g} h"
    _keep("not_approved", request, answer.who, why, run, {})
    raise NotApproved(
        f"{request.model_name} version {request.version} was not approved: {why}. What serves stays. To ask again, "
        f"trigger cxr_promote; to decide from a shell: cxr promote {request.model_name} {request.version} --reason TEXT"
    )


def _approved(request: ApprovalRequest, answer: Answer, run: str) -> RegisteredModel:
    why = answer.reason or NO_REASON
    if changed := _changed(request):
        told = f"approved by {answer.who}, but {changed}"
        _keep("not_approved", request, answer.who, told, run, {})
        raise ReleaseRefused(
            f"{request.model_name} version {request.version} was {told}. What serves stays; trigger cxr_promote to "
            "decide on what is there now."
        )
    _keep("approved", request, answer.who, why, run, {"approval.approved_by": answer.who})
    return promote(request.model_name, request.version, who=answer.who, why=why)


def _changed(request: ApprovalRequest) -> str:
    """What the person did not see when they approved; '' where all is as the evidence showed."""
    found = versions.find_version(request.model_name, request.version)
    if found.tags.get("gate.decision_sha256", "") != request.decision_sha256:
        return "the gate's decision on it has changed since"
    champion = versions.version_with_alias(request.model_name, versions.CHAMPION)
    now = None if champion is None else int(champion.version)
    # A retry after the alias was moved finds the version itself.
    if now not in (request.champion_version, request.version):
        was = "there was no champion" if request.champion_version is None else f"version {request.champion_version}"
        return f"the champion is {f'version {now}' if now else 'gone'}, not as shown ({was})"
    try:
        require_permission(request.model_name, request.version)
    except CxrError as error:
        return str(error)
    return ""


def _keep(kind: audit.Kind, request: ApprovalRequest, who: str, why: str, run: str, tags: dict[str, str]) -> None:
    """The answer on the version, and once in the audit log."""
    outcome = kind.replace("_", " ")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    versions.set_version_tags(
        request.model_name,
        request.version,
        {"approval.outcome": outcome, "approval.reason": why, "approval.at": at, **tags},
    )
    known = (one for one in audit.entries(request.model_name) if one.version == request.version and one.kind == kind)
    if not any(one.detail.get("run") == run for one in known):
        audit.record(
            kind,
            model=request.model_name,
            version=request.version,
            who=who,
            why=why,
            fingerprint=request.dataset_fingerprint,
            detail={"run": run, "decision_sha256": request.decision_sha256},
        )
