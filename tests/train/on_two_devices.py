"""Run by ``test_several_devices.py`` in a process whose CPU is divided in two: trainings on one half and on both.

    python -m tests.train.on_two_devices ORDER.json

The order: ``splits`` (files of images and labels), ``folder``, and ``runs``, each a name, a ``spec`` and, where the run
is to be cut off and taken up again, ``stop_after`` epochs. Of each run NAME.npz is left: its history and weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from cxr_tasks.contracts.shapes import build
from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.datasets.load import LoadedSplit
from cxr_tasks.train.loop.fit import fit
from cxr_tasks.train.loop.resume import load_state

KEPT = ("loss", "val_loss", "val_auroc", "learning_rate")


class Cut(Exception):
    """Stands for the end of the process."""


def train(splits: list[LoadedSplit], run: dict, folder: Path) -> None:
    spec = build(TrainSpec, run["spec"], "spec")
    own = folder / run["name"]
    own.mkdir()

    def cut(progress) -> None:
        if progress.epochs_run == run["stop_after"]:
            raise Cut

    if "stop_after" in run:
        try:
            fit(*splits, spec, precision=run["precision"], folder=own, on_epoch=cut)
        except Cut:
            print(run["name"], "is cut off and taken up again", flush=True)
    fitted = fit(*splits, spec, precision=run["precision"], folder=own, on_epoch=lambda progress: None)
    state = load_state(own)
    history = np.array([[record[key] for key in KEPT] for record in fitted.progress.history])
    weights = {f"weight_{i}": value for i, value in enumerate(fitted.network.get_weights())}
    variables = {f"variable_{i}": value for i, value in enumerate(state.current)}
    np.savez(folder / f"{run['name']}.npz", history=history, best=fitted.progress.best_epoch, **weights, **variables)


def main(file: str) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    order = json.loads(Path(file).read_text())
    splits = [LoadedSplit(*np.load(name).values()) for name in order["splits"]]
    for run in order["runs"]:
        train(splits, run, Path(order["folder"]))


if __name__ == "__main__":
    main(sys.argv[1])
