"""Ask the version that serves and the canary for the same images, and report what differs.

Started by hand, while a canary serves (`cxr canary MODEL VERSION`). The images are those of the newest recorded
requests (`CXR_REQUEST_LOG`), or of a folder. The task's log shows a table: per finding the mean difference of the
probabilities, the mean absolute difference and the share of changed decisions, each with its interval; the numbers are
also in a JSON file, whose path is what the task returns.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, get_current_context, task
from dag_rules import rules
from forms import data_folder_param, one_model_param

from cxr_tasks.stack.pools import REPORTS


@dag(
    dag_id="cxr_compare",
    schedule=None,
    catchup=False,
    **rules("other", pool=REPORTS),
    doc_md=__doc__,
    params={
        "model": one_model_param(),
        "data_folder": data_folder_param("Empty: the newest recorded requests."),
        "limit": Param(500, type="integer", minimum=1, title="Images", description="At most so many are sent."),
    },
    tags=["cxr", "serving"],
)
def cxr_compare():
    @task(multiple_outputs=False)
    def compare() -> dict:
        from pathlib import Path

        from cxr_tasks.contracts.shapes import plain
        from cxr_tasks.installation.settings import StackSettings
        from serving.compare import asked_images, compare

        asked = get_current_context()["params"]
        folder = Path(asked["data_folder"]) if asked["data_folder"] else None
        images, source = asked_images.images_to_compare(asked["model"], folder, asked["limit"])
        comparison = compare.compare(asked["model"], StackSettings.load(), images, source)
        compare.log_table(comparison)
        return plain(compare.write_comparison(comparison))

    compare()


cxr_compare()
