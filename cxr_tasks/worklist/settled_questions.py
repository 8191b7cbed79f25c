"""Questions of ``cxr_promote`` that something else has settled: ended by themselves, as nobody need answer any more."""

from __future__ import annotations

import logging
from dataclasses import replace

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.handoffs import ApprovalRequest
from cxr_tasks.registry.questions import ended_because
from cxr_tasks.worklist.airflow_api import AirflowApi

logger = logging.getLogger(__name__)

#: The DAG that asks a person whether a version may serve.
PROMOTE = "cxr_promote"


def end_settled_questions(api: AirflowApi) -> list[str]:
    """End what waits in vain, and say what was ended and why; task ``settle`` then writes it down.

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
        if because := ended_because(request, question.run_id):
            api.end_question(question, f"Ended by itself: {because}")
            ended.append(f"{request.model_name} version {request.version}: {because}")
            logger.warning("the question about %s was ended: %s", ended[-1].partition(":")[0], because)
    return ended
