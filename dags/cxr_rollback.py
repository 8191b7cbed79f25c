"""Let the version before the present one serve again: registry alias and model server together, in seconds.

Started by hand, or by `cxr rollback`'s user who prefers a form: the model, and the reason, which the audit log keeps.
The version taken back is not kept to go forward to; where there is no version before, the task says how to promote
another one.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, get_current_context, task
from dag_defaults import triggered_by
from dag_rules import rules
from forms import one_model_param

from cxr_tasks.stack.pools import SERVING


@dag(
    dag_id="cxr_rollback",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    **rules("release", pool=SERVING),
    doc_md=__doc__,
    params={
        "model": one_model_param(),
        "reason": Param(
            type="string",
            minLength=3,
            title="Reason",
            description="Why the present version must go; kept in the audit log.",
        ),
    },
    tags=["cxr", "serving"],
)
def cxr_rollback():
    @task(multiple_outputs=False)
    def roll_back() -> dict:
        from cxr_tasks.contracts.shapes import plain
        from cxr_tasks.installation.settings import StackSettings
        from serving.release import rollback

        asked = get_current_context()["params"]
        return plain(rollback.roll_back(asked["model"], StackSettings.load(), who=triggered_by(), why=asked["reason"]))

    roll_back()


cxr_rollback()
