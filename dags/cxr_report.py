"""Write the Grad-CAM and evaluation report of a champion.

Started by `served_cxr_binary` after each release, every Monday at 06:00 UTC (`CXR_REPORT_CRON` moves it), or by hand.
The page is an artifact of the model's MLflow run, stands under Reports in this UI, and is one click away on the
**report** task.
"""

from __future__ import annotations

from airflow.sdk import dag, get_current_context, task
from dag_defaults import (
    BINARY,
    DEFAULT_ARGS,
    TaskLink,
    model_param,
    on_asset_or_cron,
    request_of,
    run_paths,
    with_links,
)


@dag(
    dag_id="cxr_report",
    schedule=on_asset_or_cron(BINARY.served, "CXR_REPORT_CRON", "0 6 * * 1"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    params={"model": model_param()},
    tags=["cxr", "report"],
)
def cxr_report():
    @task.short_circuit
    def has_champion() -> bool:
        """The weekly run of a model that has no champion yet has nothing to report."""
        from cxr_tasks.registry.versions import CHAMPION, version_with_alias

        return version_with_alias(request_of(BINARY.served)["model"], CHAMPION) is not None

    @task(multiple_outputs=False, outlets=[BINARY.report])
    def report() -> dict:
        from cxr_tasks.report.addresses import mlflow_run_page, report_page
        from cxr_tasks.report.champion import report_on
        from serving.release import champion_of

        champion = champion_of(request_of(BINARY.served)["model"])
        written = report_on(champion, run_paths())
        context = get_current_context()
        context["ti"].xcom_push("report_url", report_page(written.model_name, written.version))
        context["ti"].xcom_push("mlflow_url", mlflow_run_page(champion.mlflow_run_id))
        context["outlet_events"][BINARY.report].extra = {"model": written.model_name, "version": written.version}
        return written.to_payload()

    has_champion() >> with_links(report(), TaskLink("Report", "report_url"), TaskLink("MLflow run", "mlflow_url"))


cxr_report()
