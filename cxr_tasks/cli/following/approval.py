"""The question of ``cxr_promote`` as seen from a shell: where it is asked, and answering it by Airflow's REST API."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.registry.approve.approval import APPROVE
from cxr_tasks.worklist.airflow_api import AirflowApi, TaskRun
from cxr_tasks.worklist.settled_questions import PROMOTE

DAG_ID = PROMOTE
WAITING = "awaiting_input"
#: The login that ``--approve`` answers with: the one generated for the machine's owner, never that of somebody else.
ANSWERS_AS = "admin"


def require_may_answer(approvers: Sequence[str]) -> None:
    """``ConfigurationError`` where the generated administrator is not among the approvers."""
    if ANSWERS_AS not in approvers:
        raise ConfigurationError(
            f"--approve answers as {ANSWERS_AS}, but CXR_APPROVERS names {', '.join(approvers)}; one of them answers "
            "in the Airflow UI ('make login' shows the logins)"
        )


def instance_of(api: AirflowApi, tasks: Sequence[TaskRun], task_id: str, model: str) -> TaskRun | None:
    """The instance of a mapped task of ``cxr_promote`` that is about ``model``; None before there is one.

    One run asks about several models where they had a challenger at the same moment.
    """
    find = next((task for task in tasks if task.task_id == "find"), None)
    asked = api.xcom(find) if find is not None and find.state == "success" else None
    places = [place for place, question in enumerate(asked or []) if question["model"] == model]
    return next((task for task in tasks if task.task_id == task_id and task.map_index in places), None)


def question_page(airflow_page: str, question: TaskRun) -> str:
    """Where a person answers."""
    place = f"/mapped/{question.map_index}" if question.map_index >= 0 else ""
    return (
        f"{airflow_page}/dags/{question.dag_id}/runs/{question.run_id}/tasks/{question.task_id}{place}/required_actions"
    )


def approve(api: AirflowApi, question: TaskRun, reason: str) -> None:
    """Answer a waiting question with approval, as the login of ``api``."""
    api.answer(question, APPROVE, {"reason": reason})


def champion_made(api: AirflowApi, tasks: Sequence[TaskRun], model: str) -> int | None:
    """The version that an ended ``cxr_promote`` made champion of ``model``; None where it was rejected."""
    settled = instance_of(api, tasks, "settle", model)
    champion = api.xcom(settled) if settled is not None else None
    return None if champion is None else int(champion["version"])
