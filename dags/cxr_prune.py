"""Remove what is old and needed by nothing: runs of DAGs, logs, comparisons, lineage, fetched data, MLflow runs.

Started on Sundays at 03:00 UTC (`CXR_PRUNE_CRON` moves it; empty: never), or by hand. How long each is kept:
`CXR_KEEP_RUNS_DAYS` (180), `CXR_KEEP_LOGS_DAYS` (60), `CXR_KEEP_COMPARISONS_DAYS`, `CXR_KEEP_LINEAGE_DAYS` and
`CXR_KEEP_MLFLOW_DAYS` (365), `CXR_KEEP_FETCHED_DAYS` (90): data folders of a store that no ingest asked for since.
What a registered version, a report, a dataset or an open request refers to is never removed; datasets, versions,
reports, exports, predictions and labels are not touched. `cxr prune` shows what would go. After a pause of two months
nothing is removed for two weeks: a clock that is far ahead looks the same.
"""

from __future__ import annotations

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowSkipException
from dag_defaults import on_cron
from dag_rules import rules

from cxr_tasks.stack.pools import REPORTS


@dag(
    dag_id="cxr_prune",
    schedule=on_cron("CXR_PRUNE_CRON"),
    catchup=False,
    max_active_runs=1,
    **rules("other", pool=REPORTS),
    doc_md=__doc__,
    tags=["cxr"],
)
def cxr_prune():
    @task(multiple_outputs=False)
    def prune() -> dict:
        import logging
        import os
        from collections import Counter

        from cxr_tasks.prune.stage import prune

        outcome = prune(os.environ, do=True)
        if outcome.doubt:
            raise AirflowSkipException(outcome.doubt)
        counts = dict(Counter(removed.kind for removed in outcome.found))
        logging.getLogger(__name__).info(
            "old: %s; %d of these could not be removed; %d old runs are needed and stay",
            counts or "nothing", outcome.n_not_removed, outcome.n_kept_as_needed,
        )  # fmt: skip
        return {"old": counts, "not_removed": outcome.n_not_removed, "kept_as_needed": outcome.n_kept_as_needed}

    prune()


cxr_prune()
