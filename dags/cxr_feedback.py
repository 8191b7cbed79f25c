"""Take in labels of images that were served, and measure the version on them.

Started by hand with a CSV file (`cxr feedback --help` names its columns); without one the labels so far are measured.
All labels are kept: a corrected one is a further row, and the latest is in force. AUROC, sensitivity, specificity and
calibration stand in the task's log beside the promised numbers, each with its interval, what is still missing, and
whose labels came back; and on the version's MLflow run as `live_...`.

**recalibrate**, where the form asks for it and the calibration of a finding alone is off, publishes `miscalibrated`:
`cxr_dataset_<family>` makes a dataset of the labelled images that are kept, and `cxr_train_<family>` takes the weights
as they are and fits calibration and thresholds to it. What comes of it goes the way of every version: gate, approval,
release. Where no finding's calibration alone is off, the task is skipped and says so.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from assets import MISCALIBRATED
from dag_defaults import asked_for, run_paths
from dag_rules import rules
from forms import one_model_param

from cxr_tasks.stack.pools import REPORTS


@dag(
    dag_id="cxr_feedback",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    **rules("other", pool=REPORTS),
    doc_md=__doc__,
    params={
        "model": one_model_param("Name in the registry; its champion is measured."),
        "file": Param(
            None,
            type=["null", "string"],
            title="File",
            description="CSV file with labels, on the machine that runs the tasks. Empty: measure the labels so far.",
        ),
        "images": Param(
            None,
            type=["null", "string"],
            title="Images",
            description="Keep the labelled images out of this folder, for training and calibration; recorded: out of "
            "the requests that CXR_REQUEST_LOG recorded. Empty: keep none.",
        ),
        "recalibrate": Param(
            False,
            type="boolean",
            title="Recalibrate",
            description="Where a finding's calibration alone is off: propose the version calibrated anew.",
        ),
    },
    tags=["cxr", "monitoring"],
)
def cxr_feedback():
    @task(multiple_outputs=False)
    def take() -> dict:
        import logging
        from pathlib import Path

        from cxr_tasks.contracts.shapes import plain
        from cxr_tasks.feedback.stage import not_served_words, selection_words, table_of, take_feedback
        from serving.release.take_up import champion_of

        asked, log = asked_for(), logging.getLogger(__name__)
        file = Path(asked["file"]) if asked["file"] else None
        feedback = take_feedback(champion_of(asked["model"]), file, run_paths(), asked["images"])
        for row in table_of(feedback):
            log.info("%s", "  ".join(f"{column}: {text}" for column, text in row.items()))
        if words := not_served_words(feedback):
            log.warning("%s", words)
        for finding in feedback.findings:
            log.info("%s", selection_words(finding))
        return plain(feedback)

    @task.short_circuit
    def is_asked(feedback: dict) -> bool:
        return asked_for()["recalibrate"]

    @task(outlets=[MISCALIBRATED])
    def recalibrate(feedback: dict) -> None:
        from cxr_tasks.contracts.shapes import build
        from cxr_tasks.feedback.stage import Feedback, nothing_to_recalibrate, recalibration_of

        measured = build(Feedback, feedback, "feedback")
        if not measured.calibration_only:
            raise AirflowSkipException(nothing_to_recalibrate(measured))
        conf = recalibration_of(measured)
        get_current_context()["outlet_events"][MISCALIBRATED].extra = {
            "model": feedback["model_name"], "recipe": conf["recipe"], "version": conf["recalibrate"],
        }  # fmt: skip

    taken = take()
    is_asked(taken) >> recalibrate(taken)


cxr_feedback()
