"""The training loop: phases of epochs, each epoch's state on disk before anyone hears of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.datasets.load import LoadedSplit
from cxr_tasks.train.data.label_treatment import Targets
from cxr_tasks.train.loop.features import remove_features
from cxr_tasks.train.loop.progress import Progress
from cxr_tasks.train.loop.resume import save_state
from cxr_tasks.train.loop.trainer import Trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fitted:
    """The best epoch's network, in float32, and how it came about."""

    network: keras.Model
    progress: Progress


def fit(
    train: LoadedSplit,
    validation: LoadedSplit,
    spec: TrainSpec,
    *,
    precision: str,
    folder: Path,
    on_epoch: Callable[[Progress], None],
    findings: tuple[str, ...] = (),
    targets: Targets | None = None,
) -> Fitted:
    """Train the network that ``spec`` names, or go on with the run whose state is in ``folder``.

    On a CPU a run that was killed and taken up again ends with the same weights, to the bit, as one that never was:
    the state holds all variables, and batches and augmentation follow from (seed, step).

    Args:
        precision: ``float32`` or ``mixed_bfloat16``; validation and the result are float32 in any case.
        on_epoch: Called after each epoch, with its state already on disk.
        findings: What the columns of the labels are, in their order.
        targets: What is trained on, by the recipe's label policies; None takes the labels of ``train`` as they are.
    """
    trainer = Trainer(train, validation, spec, precision, folder=folder, findings=findings, targets=targets)
    progress = trainer.restore()
    batches: Iterator[Any] | None = None
    started = time.monotonic() - progress.seconds
    while not progress.is_over(spec):
        if (ended_by := progress.end_of_phase(spec)) is not None:
            log.info("phase %s ends: %s", trainer.phase.name, ended_by or "its last epoch")
            progress.next_phase()
            trainer.start_phase(progress)
            batches = None
        if batches is None:
            batches = iter(trainer.batches(progress))
        record = trainer.run_epoch(progress.epochs_run + 1, batches)
        progress.seconds = time.monotonic() - started
        trainer.judge(record, progress)
        save_state(folder, trainer.state(progress))
        on_epoch(progress)
    remove_features(folder)
    return Fitted(trainer.best_network(), progress)
