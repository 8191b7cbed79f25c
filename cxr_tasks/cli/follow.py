"""Follow a triggered run from DAG to DAG until its report stands, its model is refused, or a task fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cxr_tasks.cli.airflow_api import AirflowApi, DagRun, TaskRun
from cxr_tasks.contracts.errors import CxrError, ServiceUnavailable
from cxr_tasks.contracts.paths import home

#: The DAGs of one family in the order in which their Assets start them, each with its tasks in order.
CHAIN: dict[str, tuple[str, ...]] = {
    "cxr_dataset_binary": ("ingest", "validate", "prepare"),
    "cxr_train_binary": ("plan", "train", "evaluate", "gate", "passed", "register", "promote"),
    "cxr_release": ("find", "export", "check", "publish"),
    "cxr_report": ("has_champion", "report"),
}

POLL_S = 1.0
#: How long the scheduler may take to start the next DAG after an Asset event.
NEXT_RUN_LIMIT_S = 240.0
TERMINAL = {"success", "failed", "skipped", "upstream_failed", "removed"}


class TaskFailed(CxrError):
    """A task of a followed run failed; the text names task, error and log."""


@dataclass(slots=True)
class Progress:
    """What is known of a followed run so far: DAG -> its run, and (DAG, task) -> its state."""

    runs: dict[str, DagRun] = field(default_factory=dict)
    tasks: dict[tuple[str, str], TaskRun] = field(default_factory=dict)
    started_at: float = field(default_factory=time.monotonic)

    @property
    def refused(self) -> bool:
        """The gate refused the model: the run is green and what follows the gate was skipped."""
        registered = self.tasks.get(("cxr_train_binary", "register"))
        return registered is not None and registered.state == "skipped"

    def seconds_per_stage(self) -> dict[str, float]:
        """Stage (``dag.task``) -> run time of its last try."""
        return {
            f"{dag_id}.{task_id}": round(task.seconds, 1)
            for dag_id, names in CHAIN.items()
            for task_id in names
            if (task := self.tasks.get((dag_id, task_id))) is not None and task.seconds is not None
        }


def follow(api: AirflowApi, first: DagRun, show: Callable[[Progress], None]) -> Progress:
    """Poll until the chain that ``first`` starts has ended well; ``show`` is called after each poll.

    Raises:
        TaskFailed: A task failed for good; its name, its error and its log's path are in the text.
        ServiceUnavailable: Airflow stops answering, or does not start the next DAG in time.
    """
    progress = Progress(runs={first.dag_id: first})
    names = list(CHAIN)
    for position in range(names.index(first.dag_id), len(names)):
        dag_id = names[position]
        _follow_run(api, progress, dag_id, show)
        if progress.refused or position + 1 == len(names):
            return progress
        progress.runs[names[position + 1]] = _next_run(api, progress, dag_id, names[position + 1], show)
    return progress


def _follow_run(api: AirflowApi, progress: Progress, dag_id: str, show: Callable[[Progress], None]) -> None:
    while True:
        # The run first: tasks read after it ended are complete.
        run = api.run(dag_id, progress.runs[dag_id].run_id)
        progress.runs[dag_id] = run
        for task in api.tasks(run):
            progress.tasks[dag_id, task.task_id] = task
        show(progress)
        if run.state == "success":
            return
        if run.state == "failed":
            raise _failure(api, progress, dag_id)
        time.sleep(POLL_S)


def _next_run(
    api: AirflowApi, progress: Progress, dag_id: str, wanted: str, show: Callable[[Progress], None]
) -> DagRun:
    end = time.monotonic() + NEXT_RUN_LIMIT_S
    while time.monotonic() < end:
        for run in api.runs_started_by(progress.runs[dag_id]):
            if run.dag_id == wanted:
                return run
        show(progress)
        time.sleep(POLL_S)
    raise ServiceUnavailable(
        f"expected {wanted} to start within {NEXT_RUN_LIMIT_S:.0f} s of the end of {dag_id}, found no run; "
        "is it paused? Is the scheduler up ('make status')?"
    )


def _failure(api: AirflowApi, progress: Progress, dag_id: str) -> TaskFailed:
    failed = [task for (dag, _), task in progress.tasks.items() if dag == dag_id and task.state == "failed"]
    if not failed:
        return TaskFailed(
            f"{dag_id} {progress.runs[dag_id].run_id} failed, but none of its tasks did; see the Airflow UI"
        )
    task = failed[0]
    return TaskFailed(
        f"task {task.dag_id}.{task.task_id} failed at try {task.try_number}: {api.error_of(task)}\n"
        f"     log: {log_path(task)}"
    )


def log_path(task: TaskRun) -> Path:
    """Where Airflow wrote the log of a task's last try."""
    folder = home() / "airflow" / "logs" / f"dag_id={task.dag_id}" / f"run_id={task.run_id}" / f"task_id={task.task_id}"
    return folder / f"attempt={task.try_number}.log"
