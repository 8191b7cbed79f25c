"""Where a training run stands: its history, its best epoch, its phase, and why it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from cxr_tasks.contracts.handoffs.training import EpochRecord
from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.train.loop.phases import phases_of
from cxr_tasks.train.loop.validation import is_better


@dataclass(slots=True)
class Progress:
    """Plain values, saved with the weights."""

    history: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -math.inf
    best_loss: float = math.inf
    seconds: float = 0.0
    stopped_by: str = ""
    """Why training ended before its last epoch, or ''."""
    was_ended_by_clock: bool = False
    """Whether that is ``max_minutes``: what is reached then hangs on how busy the machine was."""
    phase: int = 0
    """Number of the phase, from 0."""
    phase_epochs: int = 0
    """Epochs run in it."""
    phase_best_epoch: int = 0
    phase_best_score: float = -math.inf
    phase_best_loss: float = math.inf

    @property
    def epochs_run(self) -> int:
        return sum(record.get("epoch") != 0 for record in self.history)

    def enter(self, record: EpochRecord) -> bool:
        """Take up the record of the next epoch; whether it is the best of the run so far."""
        self.history.append(record)
        self.phase_epochs += 1
        score, loss = record["val_score"], record["val_loss"]
        if is_better(score, loss, best_score=self.phase_best_score, best_loss=self.phase_best_loss):
            self.phase_best_epoch, self.phase_best_score, self.phase_best_loss = self.epochs_run, score, loss
        if not is_better(score, loss, best_score=self.best_score, best_loss=self.best_loss):
            return False
        self.best_epoch, self.best_score, self.best_loss = self.epochs_run, score, loss
        return True

    def end_of_phase(self, spec: TrainSpec) -> str | None:
        """Why the phase is over after its latest epoch; '' where it ran to its end, None where it goes on."""
        phase = phases_of(spec)[self.phase]
        patience = phase.early_stopping_patience
        if patience is not None and self.phase_epochs and self.epochs_run - self.phase_best_epoch >= patience:
            return f"no better validation score for {patience} epochs"
        return "" if self.phase_epochs >= phase.epochs else None

    def next_phase(self) -> None:
        self.phase += 1
        self.phase_epochs = self.phase_best_epoch = 0
        self.phase_best_score, self.phase_best_loss = -math.inf, math.inf

    def is_over(self, spec: TrainSpec) -> bool:
        """Whether no epoch is left: stopped, or at the end of the last phase."""
        is_last = self.phase == len(phases_of(spec)) - 1
        return bool(self.stopped_by) or (is_last and self.end_of_phase(spec) is not None)
