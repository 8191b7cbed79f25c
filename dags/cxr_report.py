"""Write the Grad-CAM and evaluation reports of the champions.

Started by `served_model` after each release, every Monday at 06:00 UTC (`CXR_REPORT_CRON` moves it), or by hand. A
page is an artifact of the model's MLflow run, stands under Reports in this UI, and is one click away on the **report**
task.
"""

from __future__ import annotations

from airflow.sdk import dag, get_current_context, task
from assets import REPORT, SERVED
from dag_defaults import asked_for, champions_asked_for, on_cron, run_paths, tell_result
from dag_rules import rules
from forms import model_param
from task_links import TaskLink, with_links

from cxr_tasks.stack.pools import REPORTS


@dag(
    dag_id="cxr_report",
    schedule=on_cron("CXR_REPORT_CRON"),
    catchup=False,
    max_active_runs=1,
    **rules("other", pool=REPORTS),
    doc_md=__doc__,
    params={"model": model_param()},
    tags=["cxr", "report"],
)
def cxr_report():
    @task(multiple_outputs=False, inlets=[SERVED])
    def find() -> list:
        asked = asked_for()
        if asked.get("model") and asked.get("version"):
            # The version that was released, also where another one is champion by now.
            from cxr_tasks.registry.versions import registered_model

            return [registered_model(asked["model"], int(asked["version"])).to_payload()]
        return champions_asked_for()

    @task(multiple_outputs=False, outlets=[REPORT])
    def report(champion: dict) -> dict:
        from cxr_tasks.contracts.handoffs.release import RegisteredModel
        from cxr_tasks.registry.addresses import mlflow_run_page, report_page
        from cxr_tasks.report.stage import report_on

        model = RegisteredModel.from_payload(champion)
        written = report_on(model, run_paths())
        context = get_current_context()
        context["ti"].xcom_push("report_url", report_page(written.model_name, written.version))
        context["ti"].xcom_push("mlflow_url", mlflow_run_page(model.mlflow_run_id))
        context["outlet_events"][REPORT].extra = {"model": written.model_name, "version": written.version}
        tell_result(f"the report of version {written.version} stands")
        return written.to_payload()

    with_links(report.expand(champion=find()), TaskLink("Report", "report_url"), TaskLink("MLflow run", "mlflow_url"))


cxr_report()
