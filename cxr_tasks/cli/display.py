"""What a person sees while a run goes on: task by task, training epoch by epoch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cxr_tasks.cli.airflow_api import TaskRun
from cxr_tasks.cli.follow import Progress
from cxr_tasks.registry import tracking

_LOOK = {
    "success": ("done", "green"),
    "failed": ("failed", "bold red"),
    "running": ("running", "cyan"),
    "up_for_retry": ("retry soon", "yellow"),
    "skipped": ("skipped", "dim"),
    "upstream_failed": ("not run", "dim"),
    "queued": ("queued", "dim"),
    "scheduled": ("queued", "dim"),
}


@contextlib.contextmanager
def live_display(console: Console) -> Iterator[Callable[[Progress], None]]:
    """A function to call with each new progress: a live table on a terminal, a line per change elsewhere."""
    epochs = EpochWatcher()
    if not console.is_terminal:
        yield _line_printer(console, epochs)
        return
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        yield lambda progress: live.update(progress_table(progress, epochs.line(progress)))


def progress_table(progress: Progress, training: str) -> Table:
    """All stages of the chain with state and run time; ``training`` stands beside the train task."""
    table = Table(
        title=f"{time.monotonic() - progress.started_at:.0f} s", title_justify="left", box=None, pad_edge=False
    )
    for column in ("DAG", "task", "state"):
        table.add_column(column)
    table.add_column("seconds", justify="right")
    table.add_column("")
    for dag_id, names in progress.chain.items():
        for position, task_id in enumerate(names):
            task = progress.tasks.get((dag_id, task_id))
            label, style = _LOOK.get(task.state, (task.state, "")) if task else ("", "dim")
            seconds = f"{task.seconds:.1f}" if task and task.seconds is not None else ""
            note = training if task_id == "train" else ""
            if task and task.n_mapped > 1:
                note = f"{task.n_done} of {task.n_mapped} done  {note}"
            if task and task.try_number > 1:
                note = f"try {task.try_number}  {note}"
            table.add_row(dag_id if position == 0 else "", task_id, Text(label, style), seconds, note)
    return table


class EpochWatcher:
    """The newest epoch of the training that belongs to a followed run, read from MLflow while it is written."""

    #: MLflow is asked no more often than this.
    EVERY_S = 2.0

    def __init__(self) -> None:
        self._line = ""
        self._asked_at = 0.0

    def line(self, progress: Progress) -> str:
        """``epoch 3/12  loss 0.412  val_auroc 0.953``; empty before the first epoch."""
        task = progress.task("cxr_train_", "train")
        if task is None or task.state == "none" or time.monotonic() - self._asked_at < self.EVERY_S:
            return self._line
        if task.state == "running" or not self._line:
            self._asked_at = time.monotonic()
            self._line = _newest_epoch(task) or self._line
        return self._line


def _newest_epoch(task: TaskRun) -> str:
    from mlflow.exceptions import MlflowException

    client = tracking.client()
    try:
        experiment = client.get_experiment_by_name(task.dag_id.replace("cxr_train_", "cxr_"))
        if experiment is None:
            return ""
        runs = client.search_runs([experiment.experiment_id], f"tags.`cxr.dag_run_id` = '{task.run_id}'", max_results=1)
        if not runs:
            return ""
        history = client.get_metric_history(runs[0].info.run_id, "val_auroc")
    except MlflowException as error:
        # The display is a convenience: the run goes on, and the next poll asks again.
        return f"(MLflow does not answer: {type(error).__name__})"
    if not history:
        return ""
    newest = max(history, key=lambda metric: metric.step)
    metrics, parameters = runs[0].data.metrics, runs[0].data.params
    total = parameters.get("epochs_in_force", "?")
    loss = f"  loss {metrics['loss']:.3f}" if "loss" in metrics else ""
    return f"epoch {newest.step}/{total}{loss}  val_auroc {newest.value:.4f}"


def _line_printer(console: Console, epochs: EpochWatcher) -> Callable[[Progress], None]:
    seen: dict[tuple[str, str], str] = {}
    last_epoch = ""

    def show(progress: Progress) -> None:
        nonlocal last_epoch
        line = epochs.line(progress)
        for key, task in sorted(progress.tasks.items(), key=lambda item: _place(progress, *item[0])):
            if task.state not in ("none", "scheduled", "queued") and seen.get(key) != task.state:
                seen[key] = task.state
                seconds = f"  {task.seconds:.1f} s" if task.seconds is not None and task.state == "success" else ""
                console.print(
                    f"{_clock(progress)}  {key[0]}.{key[1]}: {_LOOK.get(task.state, (task.state,))[0]}{seconds}"
                )
        if line and line != last_epoch:
            last_epoch = line
            console.print(f"{_clock(progress)}  train: {line}")

    return show


def _place(progress: Progress, dag_id: str, task_id: str) -> tuple[int, int]:
    names = progress.chain.get(dag_id, ())
    return list(progress.chain).index(dag_id), names.index(task_id) if task_id in names else len(names)


def _clock(progress: Progress) -> str:
    return f"{time.monotonic() - progress.started_at:6.0f} s"
