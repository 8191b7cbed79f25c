"""What MLflow and the task's log hear of a training while it runs, and what may end it early."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable
from typing import TYPE_CHECKING

from cxr_tasks.contracts.remarks import clock_remark
from cxr_tasks.registry.run_log import RunLog
from cxr_tasks.registry.tracking import client

if TYPE_CHECKING:
    from cxr_tasks.train.loop.progress import Progress

log = logging.getLogger(__name__)

#: What of a record is a metric of the epoch; the epoch itself is the step.
NOT_A_METRIC = {"epoch"}

#: Asked after each epoch: why to end now, or ''.
Judge = Callable[["Progress"], str]


class Watcher:
    """Tells MLflow and the log of each epoch."""

    def __init__(self, run: RunLog, epochs: int, judge: Judge | None = None):
        """``epochs``: most that there can be."""
        self._run, self._epochs, self._judge = run, epochs, judge
        self.was_ended_early = False
        # An epoch may have been saved and its process killed before MLflow heard of it.
        self._told = {point.step for point in client().get_metric_history(run.run_id, "val_score")}

    def see(self, progress: Progress) -> None:
        """To be called after each epoch; sets ``progress.stopped_by`` where the judge ends the training."""
        self._tell(progress)
        log.info("%s", epoch_line(progress, self._epochs))
        if self._judge and not progress.stopped_by and (reason := self._judge(progress)):
            progress.stopped_by, self.was_ended_early = reason, True

    def end(self, progress: Progress) -> None:
        self._tell(progress)
        self._run.metrics({"best_epoch": progress.best_epoch, "train_seconds": progress.seconds})
        if progress.stopped_by:
            self._run.tags({"cxr.stopped_by": progress.stopped_by})
            log.info("training ended after epoch %d: %s", progress.epochs_run, progress.stopped_by)
        if progress.was_ended_by_clock:
            remark = clock_remark(progress.epochs_run, self._epochs, progress.stopped_by)
            self._run.tags({"cxr.warning": remark.sentence})
            log.warning("%s", remark.sentence)

    def _tell(self, progress: Progress) -> None:
        for record in progress.history:
            step = int(record["epoch"])
            if step not in self._told:
                self._run.metrics({k: v for k, v in record.items() if k not in NOT_A_METRIC}, step=step)
                self._told.add(step)


def epoch_line(progress: Progress, epochs: int) -> str:
    """One epoch as a line for the task's log, with what is still to come at the pace so far."""
    record = progress.history[-1]
    stressed = f" (stressed {record['val_auroc_stressed']:.4f})" if "val_auroc_stressed" in record else ""
    best = " (best)" if progress.best_epoch == progress.epochs_run else f" (best: epoch {progress.best_epoch})"
    pace = statistics.median(epoch["seconds"] for epoch in progress.history[-5:])  # the first one also compiles
    left = pace * (epochs - progress.epochs_run)
    return (
        f"epoch {progress.epochs_run}/{epochs}  loss {record['loss']:.4f}  val_loss {record['val_loss']:.4f}  "
        f"val_auroc {record['val_auroc']:.4f}{stressed}{best}  {record['images_per_second']:.0f} img/s  "
        f"about {left:.0f} s left"
    )
