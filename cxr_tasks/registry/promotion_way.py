"""By which way did the champion become champion, and does the policy allow it?"""

from __future__ import annotations

from dataclasses import dataclass

from cxr_tasks.contracts.policies import load_policy
from cxr_tasks.contracts.promotion_specs import Way
from cxr_tasks.registry.alias_moves import last_move
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.persons import AIRFLOW_LOGIN, MLFLOW_LOGIN, Person
from cxr_tasks.registry.versions import CHAMPION


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """How the present champion came about."""

    way: Way
    person: Person | None
    """Who did it; None where nobody knows."""

    @property
    def is_ours(self) -> bool:
        """Whether this platform moved the alias, and asked then whether the version may serve."""
        return self.way in ("approval", "shell")


def way_of(model_name: str, version: int, run_id: str, approvers: tuple[str, ...]) -> Promoted:
    """How alias ``champion`` came to the version that bears it now.

    The platform writes each promotion and rollback into the audit log; an alias that bears another version than the
    last of these, or was moved after it, was moved in MLflow.
    """
    ours = [entry for entry in trail.entries(model_name) if entry.kind in ("promoted", "rolled_back")]
    move = last_move(model_name, CHAMPION)
    last = ours[-1] if ours else None
    if (
        last is not None
        and last.version == version
        and last.detail.get("mlflow_run_id") in (None, "", run_id)
        and (move is None or move.at <= last.at)
    ):
        way: Way = "approval" if last.known_by == AIRFLOW_LOGIN and last.kind == "promoted" else "shell"
        return Promoted(way=way, person=Person(last.who, last.known_by))
    if move is None or move.version != str(version) or not move.login:
        return Promoted(way="mlflow", person=None)
    person = Person(move.login, MLFLOW_LOGIN)
    return Promoted(way="mlflow_approver" if move.login in approvers else "mlflow", person=person)


def why_not_promoted(model_name: str, version: int, promoted: Promoted) -> str:
    """Why the policy does not take that way; '' where it does."""
    allowed = load_policy(model_name).promotion.who_may_promote
    # Whoever may move it however they like may also be an approver.
    if promoted.way in allowed or (promoted.way == "mlflow_approver" and "mlflow" in allowed):
        return ""
    who = f"by {promoted.person} ({promoted.person.known_by})" if promoted.person else "by nobody whose login is known"
    told = f"alias {CHAMPION} was moved in MLflow {who}"
    if promoted.is_ours:
        told = f"it was {'approved in Airflow' if promoted.way == 'approval' else 'promoted from a shell'} {who}"
    elif promoted.way == "mlflow" and promoted.person:
        told += ", who is not among CXR_APPROVERS"
    return (
        f"{told}, and the policy {model_name} takes {', '.join(allowed)} only (promotion.who_may_promote); a person "
        f"who may decide promotes it: cxr promote {model_name} {version} --reason TEXT"
    )
