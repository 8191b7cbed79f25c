"""Hold what the champions served lately against what they were registered on.

Started every day at 00:30 UTC for the day before (`CXR_MONITOR_CRON` moves it), or by hand for any model, day and
window. Scores, decisions, pictures and typicality are compared with validation and test of the version; the page stands
under Monitoring in this UI, is one click away on the **look** task, and its numbers are charted on the version's MLflow
run. An alarm is told once to the addresses of `CXR_NOTIFY`, and published as `drifted`, which starts a training where
`CXR_RETRAIN_ON_DRIFT` names the model (`cxr_binary:30`: at most every 30 days; unset: never). A look by hand with
another window or reference, or at a day that was looked at, raises no alarm.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from assets import DRIFTED
from dag_defaults import asked_for, champions_asked_for, on_cron, run_paths
from dag_rules import rules
from forms import model_param
from task_links import TaskLink, with_links

from cxr_tasks.stack.pools import REPORTS


@dag(
    dag_id="cxr_monitor",
    schedule=on_cron("CXR_MONITOR_CRON"),
    catchup=False,
    max_active_runs=1,
    **rules("other", pool=REPORTS),
    doc_md=__doc__,
    params={
        "model": model_param(),
        "window": Param(7, type="integer", minimum=1, maximum=365, title="Window", description="Days looked at."),
        "reference": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Reference",
            description="Version of the model whose validation and test are the reference; empty: the champion's own.",
        ),
        "day": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Day",
            description="The last day of the window; empty: yesterday, the last whole one.",
        ),
    },
    tags=["cxr", "monitoring"],
)
def cxr_monitor():
    @task(multiple_outputs=False)
    def find() -> list:
        return champions_asked_for()

    @task(multiple_outputs=False)
    def look(champion: dict) -> dict:
        from datetime import UTC, date, datetime, timedelta

        from cxr_tasks.contracts.handoffs.release import RegisteredModel
        from cxr_tasks.monitor.stage import monitor_model
        from cxr_tasks.registry.addresses import mlflow_run_page

        asked = asked_for()
        day = date.fromisoformat(asked["day"]) if asked["day"] else datetime.now(UTC).date() - timedelta(days=1)
        registered = RegisteredModel.from_payload(champion)
        report = monitor_model(registered, run_paths(), day, asked["window"], asked["reference"])
        ti = get_current_context()["ti"]
        ti.xcom_push("monitor_url", report.address)
        ti.xcom_push("mlflow_url", mlflow_run_page(report.mlflow_run_id))
        return report.to_payload()

    @task(multiple_outputs=False, outlets=[DRIFTED])
    def alarm(report: dict) -> dict:
        if not report["is_new_episode"]:
            raise AirflowSkipException(f"{report['model_name']}: no alarm begins on {report['day']}")
        said = {
            "model": report["model_name"],
            "version": report["version"],
            "recipe": report["recipe"],
            "day": report["day"],
            "retrain": report["retrain"],
        }
        get_current_context()["outlet_events"][DRIFTED].extra = said
        return said

    looked = with_links(
        look.expand(champion=find()), TaskLink("Monitoring", "monitor_url"), TaskLink("MLflow run", "mlflow_url")
    )
    alarm.expand(report=looked)


cxr_monitor()
