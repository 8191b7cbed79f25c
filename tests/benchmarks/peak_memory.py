"""The most memory that a process takes while it trains."""

from __future__ import annotations

import collections
import itertools
import resource
from pathlib import Path

import numpy as np

from cxr_tasks.contracts.train_specs import TrainSpec

GIB = 2**30
#: The first allocates, the others must not add to it.
STEPS = 3
N_FINDINGS = 14


def peak_of_training(folder: Path, spec: TrainSpec, n_images: int, size_px: int, precision: str) -> float:
    """Peak resident memory in GiB of this process, which is to do nothing else: an epoch's batches, some steps,
    validation, saved state.

    Pixels lie in a file in ``folder``, as those of a large dataset do.
    """
    from cxr_tasks.datasets.load import LoadedSplit
    from cxr_tasks.datasets.rows_on_disk import open_rows, write_rows
    from cxr_tasks.train.loop.resume import save_state
    from cxr_tasks.train.loop.trainer import Trainer

    rng = np.random.default_rng(0)
    path, shape = folder / "images.npy", (n_images, size_px, size_px, 1)
    write_rows(path, shape, np.uint8, (rng.integers(0, 256, (1, *shape[1:]), dtype=np.uint8) for _ in range(n_images)))
    labels = (rng.random((n_images, N_FINDINGS)) < 0.3).astype(np.float32)
    labels[:2] = [[0.0], [1.0]]
    images = open_rows(path)
    validation = LoadedSplit(images[: spec.batch_size], labels[: spec.batch_size])
    trainer = Trainer(LoadedSplit(images, labels), validation, spec, precision, folder=folder)
    progress = trainer.restore()
    trainer.train_steps(iter(trainer.batches(progress)), STEPS)
    # Every image is read once, as in an epoch, whose steps would take minutes.
    collections.deque(itertools.islice(trainer.batches(progress), trainer.plan.steps_per_epoch), maxlen=0)
    trainer.validate()
    save_state(folder, trainer.state(progress))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
