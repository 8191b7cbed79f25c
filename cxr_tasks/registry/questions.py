"""Questions that wait for a person: what was asked stands in the audit log, and what has settled one meanwhile is told.

What a task hands on can be written by anyone who may edit tasks in Airflow; the audit log cannot. So an answer counts
only for a question that the log knows, word for word.
"""

from __future__ import annotations

from collections.abc import Iterable

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.handoffs.release import ApprovalRequest
from cxr_tasks.registry import rest
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.audit.trail import AuditEntry
from cxr_tasks.registry.versions import CHAMPION


def record_question(request: ApprovalRequest, run: str) -> None:
    """Write that the question was asked in DAG run ``run``, with the digest of all that was shown."""
    trail.record(
        "asked",
        model=request.model_name,
        version=request.version,
        who="airflow",
        fingerprint=request.dataset_fingerprint,
        detail={
            "run": run,
            "request_sha256": digest_of(request),
            "mlflow_run_id": request.mlflow_run_id,
            "champion": request.champion_version,
        },
    )


def digest_of(request: ApprovalRequest) -> str:
    """sha256 (hex) of the question, its text included."""
    return sha256_json(request.to_payload())


def find_question(request: ApprovalRequest, run: str) -> AuditEntry | None:
    """The entry of this very question; None where another was asked in that run, or none."""
    asked = [
        entry
        for entry in trail.entries(request.model_name)
        if entry.kind == "asked" and entry.version == request.version and entry.detail.get("run") == run
    ]
    if not asked or asked[-1].detail.get("request_sha256") != digest_of(request):
        return None
    return asked[-1]


def was_asked_in(request: ApprovalRequest, run: str) -> bool:
    """Whether the log has any question about the version as asked in that run."""
    return any(
        entry.kind == "asked" and entry.version == request.version and entry.detail.get("run") == run
        for entry in trail.entries(request.model_name)
    )


def ended_because(request: ApprovalRequest, run: str) -> str:
    """What has settled the question since it was asked, by whom and when; '' where it still waits for its answer.

    It ends where its version was deleted, promoted, rejected or rolled back in another way, or where another version
    became champion: the person would approve something else than was shown, or bring back what was taken away.

    Raises:
        ServiceUnavailable: The registry does not answer.
    """
    registered = rest.get_version(request.model_name, request.version)
    if registered is None:
        return "the version was deleted from the registry"
    if request.mlflow_run_id and registered.run_id != request.mlflow_run_id:
        return "the version was deleted from the registry, and its number given to another model"
    since = _own_part(request, run)
    for entry in since:
        if told := _settled_by(entry, request, run):
            return told
    champion = rest.version_with_alias(request.model_name, CHAMPION)
    now, run_id = (None, "") if champion is None else (champion.version, champion.run_id)
    if now == request.version:
        return "" if _was_approved(since, run) else "the version is champion already"
    shown = request.champion_version
    if now != shown or (shown is not None and request.champion_run_id not in ("", run_id)):
        was = "there was no champion" if shown is None else f"version {shown}"
        return f"the champion is {f'version {now}' if now else 'gone'}, not as shown ({was})"
    return ""


def _own_part(request: ApprovalRequest, run: str) -> list[AuditEntry]:
    """What happened to the model since the question was asked; since its approval, where that is only tried again."""
    entries = trail.entries(request.model_name)
    asked = find_question(request, run)
    since = [entry for entry in entries if asked is not None and entry.seq > asked.seq]
    for place, entry in enumerate(since):
        if entry.kind == "approved" and entry.version == request.version and entry.detail.get("run") == run:
            own = since[place:]
            # The promotion that followed from it.
            return [*own[:1], *own[2:]] if len(own) > 1 and own[1].kind == "promoted" else own
    return since


def _was_approved(since: Iterable[AuditEntry], run: str) -> bool:
    return any(entry.kind == "approved" and entry.detail.get("run") == run for entry in since)


def _settled_by(entry: AuditEntry, request: ApprovalRequest, run: str) -> str:
    at = f"by {entry.who} at {entry.at[:19]} UTC"
    if entry.kind == "rolled_back" and entry.detail.get("from") == request.version:
        return f"the version was rolled back {at}: {entry.why}"
    if entry.version != request.version or entry.detail.get("run") == run:
        return ""
    if entry.kind == "promoted":
        return f"the version was promoted {at} in another way: {entry.why}"
    return f"the version was rejected {at} in another question: {entry.why}" if entry.kind == "rejected" else ""
