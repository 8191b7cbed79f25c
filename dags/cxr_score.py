"""Score a folder or a table of images with a served version, into Parquet and CSV.

Started by hand. The images are listed once and cut into parts, which tasks score side by side; each answer is written
before the next is waited for, so that a task that was killed goes on where it stopped. One version scores all, whatever
is released meanwhile. The log of **collect** and what it returns say where the tables are: `var/scores`, a row for each
image with probabilities, decisions, typicality, version, fingerprint, and the reason where there is no answer.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task
from dag_defaults import asked_for
from dag_rules import rules
from forms import one_model_param

from cxr_tasks.stack.pools import REPORTS


@dag(
    dag_id="cxr_score",
    schedule=None,
    catchup=False,
    **rules("data", pool=REPORTS),
    doc_md=__doc__,
    params={
        "source": Param(
            type="string",
            minLength=1,
            title="Folder or table",
            description="A folder with images, or a table (.csv, .parquet) with a column 'file', on the machine that "
            "runs the tasks.",
        ),
        "model": one_model_param("Name on the model server."),
        "label": Param("stable", type="string", enum=["stable", "canary"], title="Label"),
        "version": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Version",
            description="A version that is served, instead of the label.",
        ),
    },
    tags=["cxr", "serving"],
)
def cxr_score():
    @task(multiple_outputs=False)
    def plan() -> dict:
        from pathlib import Path

        from cxr_tasks.installation.settings import StackSettings
        from cxr_tasks.score.stage import ScoreRequest, plan_scoring

        asked = asked_for()
        request = ScoreRequest(
            source=Path(asked["source"]).expanduser(),
            model=asked["model"],
            at=asked["version"] or asked["label"],
            address=StackSettings.load().grpc_address,
        )
        return plan_scoring(request).to_payload()

    @task(multiple_outputs=False)
    def shares(planned: dict) -> list:
        from cxr_tasks.contracts.handoffs.afterwards import ScorePlan
        from cxr_tasks.score.stage import shares_of

        return [{"plan": planned, "parts": parts} for parts in shares_of(ScorePlan.from_payload(planned))]

    @task(multiple_outputs=False, map_index_template="parts from {{ task.op_kwargs['share']['parts'][0] }}")
    def score(share: dict) -> list:
        import logging

        from cxr_tasks.contracts.handoffs.afterwards import ScorePlan
        from cxr_tasks.installation.progress_lines import ProgressLines
        from cxr_tasks.score.stage import score_part

        job = ScorePlan.from_payload(share["plan"])
        lines = ProgressLines(job.n_images, what="images scored", logger=logging.getLogger(__name__), every_s=10.0)
        done = [score_part(job, part, lines.add).to_payload() for part in share["parts"]]
        lines.end()
        return done

    @task(multiple_outputs=False)
    def collect(planned: dict, scored: list) -> dict:
        import logging

        from cxr_tasks.contracts.handoffs.afterwards import ScorePlan
        from cxr_tasks.score.stage import collect_scores

        batch = collect_scores(ScorePlan.from_payload(planned))
        log = logging.getLogger(__name__)
        log.info("%d of %d images scored by version %d", batch.n_answered, batch.n_images, batch.version)
        log.info("tables: %s and %s", batch.parquet.uri, batch.csv.uri)
        for problem in batch.problems:
            log.warning("not looked into: %s", problem)
        return batch.to_payload()

    planned = plan()
    collect(planned, score.expand(share=shares(planned)))


cxr_score()
