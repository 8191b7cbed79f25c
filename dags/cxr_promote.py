"""Ask a person whether a version shall serve, and do as they say.

Started by `challenger` for a version that passed its gate, or by hand for one that may serve, by its gate or by a
person's override. Moves alias `champion`; `cxr_release` follows that by itself.

**report** writes the version's report. **prepare** exports the version and checks it as a release would, so that an
approved one serves within a minute. **evidence** puts together what the person needs: each rule of the gate with
what it saw, the difference to the champion, links. **approve** waits under Required Actions, on no worker, for one of
`CXR_APPROVERS` to choose and to say why; there is no default. **settle** makes the version champion, or leaves the
reason on it. It takes the answer from Airflow's own record of who responded, asks whether that login may answer at this
moment, and refuses what does not agree with it or with the question that the audit log has as asked. It refuses an
approval of something else than was shown: another decision of the gate, another champion.

A question ends by itself, with the reason, when its version was promoted, rejected, rolled back or deleted in another
way, or when another version became champion meanwhile.

Approved and rejected end green. No answer within `CXR_APPROVAL_HOURS` is not an approval: it is written down, and the
run ends red, so that a model that nobody looked at is not overlooked. What serves stays in every case but approval.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, TriggerRule, dag, get_current_context, task, task_group
from assets import CHALLENGER
from dag_defaults import challenger_asked_for, run_paths, tell_result
from dag_rules import rules, tell_of_question
from forms import model_param
from task_links import TaskLink, with_links

from cxr_tasks.installation.approvers import approval_limit, approvers
from cxr_tasks.stack.pools import REPORTS, SERVING

LIMIT = approval_limit(os.environ)


class Approval(HITLOperator):
    """Hands on an answer without a choice when the time is up; ``settle`` knows what that means."""

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        if event.get("error_type") == "timeout":
            return {"chosen_options": [], "params_input": {}, "responded_by_user": None}
        return super().execute_complete(context, event)


@dag(
    dag_id="cxr_promote",
    schedule=None,
    catchup=False,
    # A question may wait for days; those of other versions are asked meanwhile.
    max_active_runs=16,
    **rules("other", waits=LIMIT, pool=SERVING),
    doc_md=__doc__,
    params={
        "model": model_param(),
        "version": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Version",
            description="Number of the version in the registry; asked for when started by hand.",
        ),
    },
    tags=["cxr", "approval"],
)
def cxr_promote():
    @task(multiple_outputs=False, inlets=[CHALLENGER])
    def find() -> list:
        return [challenger_asked_for()]

    @task(pool=REPORTS)
    def report(asked: dict) -> None:
        from cxr_tasks.registry.addresses import report_page
        from cxr_tasks.registry.versions import registered_model
        from cxr_tasks.report.stage import has_report, report_on

        registered = registered_model(asked["model"], asked["version"])
        if not has_report(registered):
            report_on(registered, run_paths())
        get_current_context()["ti"].xcom_push("report_url", report_page(asked["model"], asked["version"]))

    @task(pool=REPORTS)
    def prepare(asked: dict) -> None:
        from cxr_tasks.registry.versions import registered_model
        from serving.release.stage import prepare_release

        prepare_release(registered_model(asked["model"], asked["version"]), run_paths())

    # Also after a report or a check that failed: the person is told, and decides knowing it.
    @task(multiple_outputs=False, trigger_rule=TriggerRule.ALL_DONE)
    def evidence(asked: dict) -> dict:
        from cxr_tasks.registry.approve.evidence_page import approval_request
        from cxr_tasks.registry.versions import registered_model
        from cxr_tasks.report.stage import has_report
        from serving.export.exports import find_export
        from serving.served.agreement import disagreements

        model, version = asked["model"], asked["version"]
        registered = registered_model(model, version)
        export = find_export(registered)
        request = approval_request(
            model,
            version,
            run_paths().stage(f"evidence/{model}"),
            run=get_current_context()["run_id"],
            limit=LIMIT,
            has_report=has_report(registered),
            is_checked=export is not None and export.passed() is not None,
            notes=[str(disagreement) for disagreement in disagreements((model,))],
        )
        tell_of_question(request.subject, LIMIT)
        return request.to_payload()

    @task(multiple_outputs=False, trigger_rule=TriggerRule.ALL_DONE)
    def settle(request: dict | None, answer: dict | None) -> dict | None:
        from cxr_tasks.contracts.errors import DataDefect
        from cxr_tasks.contracts.handoffs.release import ApprovalRequest
        from cxr_tasks.installation.settings import StackSettings
        from cxr_tasks.registry.approve.approval import Answer, Recorded
        from cxr_tasks.registry.approve.approval import settle as do_as_answered
        from cxr_tasks.worklist.airflow_api import AirflowApi, TaskRun
        from cxr_tasks.worklist.champions import APPROVED

        if request is None:
            raise DataDefect("expected a question, found none; see the tasks before. Nothing was changed")
        context = get_current_context()
        ti, run = context["ti"], context["run_id"]
        place = TaskRun(ti.dag_id, run, "approve", "", 1, None, ti.map_index)
        # By the API, by login and place: another task's record cannot be slipped in.
        recorded = Recorded.from_details(AirflowApi(StackSettings.load()).question(place))
        champion = do_as_answered(
            ApprovalRequest.from_payload(request),
            recorded,
            None if answer is None else Answer.from_hitl(answer),
            run=run,
            approvers=approvers(os.environ),
        )
        given = recorded.answer
        if not given.choice:
            tell_result("ended by itself: something else has settled the question; the audit log says what")
        else:
            outcome = "rejected" if champion is None else APPROVED
            tell_result(f"{outcome} by {given.who}: {given.reason or 'no reason given'}")
        return None if champion is None else champion.to_payload()

    @task_group(prefix_group_id=False)
    def question(asked: dict) -> None:
        reported = with_links(report(asked), TaskLink("Report", "report_url"))
        request = evidence(asked)
        approve = Approval(
            task_id="approve",
            subject="{{ ti.xcom_pull('evidence', map_indexes=ti.map_index)['subject'] }}",
            body="{{ ti.xcom_pull('evidence', map_indexes=ti.map_index)['body'] }}",
            options=["Approve", "Reject"],
            params={"reason": Param("", type="string", title="Reason", description="Kept in the audit log.")},
            assigned_users=[{"id": name, "name": name} for name in approvers(os.environ)],
            response_timeout=LIMIT,
        )
        [reported, prepare(asked)] >> request >> approve
        settle(request, approve.output)

    question.expand(asked=find())


cxr_promote()
