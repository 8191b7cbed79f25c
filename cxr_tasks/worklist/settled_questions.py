"""Questions of ``cxr_promote`` that wait in vain: ended by themselves, and asked again where they are open still."""

from __future__ import annotations

import logging
from dataclasses import replace

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.handoffs.release import ApprovalRequest
from cxr_tasks.registry.questions import ended_because, was_asked_in
from cxr_tasks.worklist.airflow_api import AirflowApi, TaskRun
from cxr_tasks.worklist.request import Wanted
from cxr_tasks.worklist.store import Worklist

logger = logging.getLogger(__name__)

#: The DAG that asks a person whether a version may serve.
PROMOTE = "cxr_promote"


def end_settled_questions(api: AirflowApi) -> list[str]:
    """End what waits in vain, and say what was ended and why; task ``settle`` then writes it down.

    That is what something else has settled. It is also what waits since before questions stood in the audit log, as
    after an upgrade: no answer to it would count, so it is asked again, by a run that writes it down.

    Raises:
        ServiceUnavailable: Airflow or the registry does not answer.
    """
    ended = []
    for question in api.waiting(PROMOTE):
        evidence = api.xcom(replace(question, task_id="evidence"))
        if evidence is None:
            continue
        try:
            request = ApprovalRequest.from_payload(evidence)
        except ConfigurationError as error:
            logger.warning("the question of %s cannot be read: %s", question.run_id, error)
            continue
        because = ended_because(request, question.run_id)
        if not because and not was_asked_in(request, question.run_id):
            because = f"it was asked before questions stood in the audit log, and is {_ask_again(request, question)}"
        if because:
            api.end_question(question, f"Ended by itself: {because}")
            ended.append(f"{request.model_name} version {request.version}: {because}")
            logger.warning("the question about %s was ended: %s", ended[-1].partition(":")[0], because)
    return ended


def _ask_again(request: ApprovalRequest, question: TaskRun) -> str:
    wanted = Wanted(
        kind="promotion",
        key=f"asked again:{question.run_id}:{question.map_index}",
        model=request.model_name,
        version=request.version,
        conf={"model": request.model_name, "version": request.version},
        source=f"asked again: the question of run {question.run_id} was not in the audit log",
    )
    asked, _ = Worklist().add(wanted)
    return f"asked again by request {asked.number}"
