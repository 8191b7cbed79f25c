"""What a person sees while a run goes on: task by task, training epoch by epoch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cxr_tasks.cli.following.followed_run import Progress
from cxr_tasks.registry import tracking
from cxr_tasks.worklist.airflow_api import TaskRun

_LOOK = {
    "success": ("done", "green"),
    "failed": ("failed", "bold red"),
    "running": ("running", "cyan"),
    "up_for_retry": ("retry soon", "yellow"),
    "skipped": ("skipped", "dim"),
    "upstream_failed": ("not run", "dim"),
    "queued": ("queued", "dim"),
    "scheduled": ("queued", "dim"),
    "awaiting_input": ("waits for a person", "yellow"),
}


@contextlib.contextmanager
def live_display(console: Console) -> Iterator[Callable[[Sequence[Progress]], None]]:
    """A function to call with each new progress: a live table on a terminal, a line per change elsewhere."""
    if not console.is_terminal:
        yield LinePrinter(console).show
        return
    epochs: dict[str, EpochWatcher] = {}
    with Live(console=console, refresh_per_second=4, transient=False) as live:

        def show(followed: Sequence[Progress]) -> None:
            lines = {
                progress.model: epochs.setdefault(progress.model, EpochWatcher()).line(progress)
                for progress in followed
            }
            below = [f"{model}  {line}" for model, line in lines.items() if line]
            below += [
                f"{progress.model}  waiting for approval: {progress.question}"
                for progress in followed
                if progress.question
            ]
            below += [f"{progress.model}  {progress.outage}" for progress in followed if progress.outage]
            live.update(Group(progress_table(followed), *(Text(line, overflow="fold") for line in below)))

        yield show


def progress_table(followed: Sequence[Progress]) -> Table:
    """All stages with state and run time, a column for each followed chain; what stands in a row is the same work."""
    seconds = max(run.ended_after_s or time.monotonic() - run.started_at for run in followed)
    table = Table(title=f"{seconds:.0f} s", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", style="dim", no_wrap=True)
    for progress in followed:
        table.add_column(progress.model, no_wrap=True)
    for stages in zip(*(run.stages() for run in followed), strict=True):
        table.add_row(
            stages[0].label, *(_cell(run.tasks.get(stage.key)) for run, stage in zip(followed, stages, strict=True))
        )
    return table


def _cell(task: TaskRun | None) -> Text:
    if task is None:
        return Text()
    label, style = _LOOK.get(task.state, (task.state, ""))
    words = [label]
    if task.seconds is not None:
        words.append(f"{task.seconds:.1f} s")
    if task.n_mapped > 1:
        words.append(f"{task.n_done} of {task.n_mapped}")
    if task.try_number > 1:
        words.append(f"try {task.try_number}")
    return Text("  ".join(words), style)


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
            self._line = _newest_epoch(progress.model, task.run_id) or self._line
        return self._line


def _newest_epoch(experiment_name: str, dag_run_id: str) -> str:
    from mlflow.exceptions import MlflowException

    client = tracking.client()
    try:
        experiment = client.get_experiment_by_name(experiment_name)
        if experiment is None:
            return ""
        runs = client.search_runs([experiment.experiment_id], f"tags.`cxr.dag_run_id` = '{dag_run_id}'", max_results=1)
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


class LinePrinter:
    """One line for each change of a task's state and each epoch, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._epochs: dict[str, EpochWatcher] = {}
        self._said: dict[tuple[str, str], str] = {}

    def show(self, followed: Sequence[Progress]) -> None:
        for progress in followed:
            for stage in progress.stages():
                task = progress.tasks.get(stage.key)
                if task is not None and task.state not in ("none", "scheduled", "queued"):
                    done = task.state == "success" and task.seconds is not None
                    seconds = f"  {task.seconds:.1f} s" if done else ""
                    self._say(progress, stage.label, f"{_LOOK.get(task.state, (task.state,))[0]}{seconds}")
            if progress.question:
                self._say(progress, "waiting for approval", progress.question)
            if progress.outage or (progress.model, "connection") in self._said:
                self._say(progress, "connection", progress.outage or "Airflow answers again")
            line = self._epochs.setdefault(progress.model, EpochWatcher()).line(progress)
            if line:
                self._say(progress, "epoch", line)

    def _say(self, progress: Progress, subject: str, text: str) -> None:
        """Print it, unless it was the last that was said of this subject."""
        if self._said.get((progress.model, subject)) != text:
            self._said[progress.model, subject] = text
            seconds = time.monotonic() - progress.started_at
            self._console.print(f"{seconds:6.0f} s  {progress.model}  {subject}: {text}", soft_wrap=True)
