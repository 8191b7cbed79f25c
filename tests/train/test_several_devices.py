"""Two devices that share each batch do what one does with the whole of it; two halves of a CPU stand for two GPUs."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.contracts.train_specs import AugmentSpec, LossSpec, PhaseSpec, TrainSpec
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from tests.train.conftest import two_classes

pytestmark = [pytest.mark.tf, pytest.mark.timeout(3600)]

#: Of the largest value: sums over a batch are rounded in another order, which made 2e-6 of it here.
TOLERANCE = 2e-5

PLAIN = TrainSpec(
    network="residual_cnn",
    network_options={"widths": [4, 8], "instance_norm_stages": 0, "dropout": 0.0},
    epochs=2,
    batch_size=8,
    learning_rate=0.01,
    warmup_epochs=0,
    clip_norm=0.05,
    label_smoothing=0.05,
    ema_momentum=0.9,
    precision="float32",
    seed=7,
    augment=AugmentSpec(rotate_degrees=5, noise=0.02, mix=0.1),
)
PHASES = (
    PhaseSpec(name="head", epochs=1, learning_rate=0.02, unfrozen_blocks=0, augment=False),
    PhaseSpec(name="all", epochs=1, learning_rate=0.005, lower_rate=0.5),
)
DROPOUT = {**PLAIN.network_options, "dropout": 0.3}
SPECS = {
    "plain": PLAIN,
    "phases": dataclasses.replace(PLAIN, phases=PHASES, accumulate_steps=3),
    "auc_margin": dataclasses.replace(PLAIN, loss=LossSpec(kind="auc_margin"), ema_momentum=None),
    #: Learns nothing; what moves is the normalisation's running statistics.
    "stopped": dataclasses.replace(PLAIN, epochs=9, learning_rate=1e-8, early_stopping_patience=2),
}


def asked(name: str, spec: TrainSpec, devices: str, precision: str = "float32", **more) -> dict:
    spec = dataclasses.replace(spec, devices=devices)
    return {"name": f"{name}_{devices}", "spec": plain(spec), "precision": precision, **more}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    """Name of a run -> its history and weights."""
    folder = tmp_path_factory.mktemp("devices")
    splits = [folder / "train.npz", folder / "validation.npz"]
    for number, (file, n) in enumerate(zip(splits, (36, 20), strict=True)):
        images, labels = two_classes(n, seed=number)
        if number == 0:
            labels[:9] = np.nan  # so that parts of a batch know more or fewer labels than others
        np.savez(file, images, labels)
    runs = [asked(name, spec, devices) for name, spec in SPECS.items() for devices in ("one", "all")]
    dropout = dataclasses.replace(PLAIN, network_options=DROPOUT)
    runs.append(asked("dropout", dropout, "all"))
    runs.append({**asked("dropout", dropout, "all", stop_after=1), "name": "dropout_cut"})
    order = folder / "order.json"
    order.write_text(json.dumps({"splits": [str(file) for file in splits], "folder": str(folder), "runs": runs}))
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.on_two_devices", str(order)],
        cwd=PROJECT_ROOT, check=False, capture_output=True, text=True, timeout=3000,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return {run["name"]: dict(np.load(folder / f"{run['name']}.npz")) for run in runs}


def differences(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, float]:
    """Of each array, the largest difference as a share of the largest value."""
    assert one.keys() == other.keys()
    return {
        name: float(np.max(np.abs(one[name] - other[name])) / max(np.max(np.abs(one[name])), 1e-3))
        for name in one
        if one[name].size
    }


@pytest.mark.parametrize("name", SPECS)
def test_two_devices_learn_what_one_does_with_the_whole_batch(trained, name):
    """Loss curve, weights, running statistics, optimizer, average; NaN labels, clipping, phases, sums of batches."""
    found = differences(trained[f"{name}_one"], trained[f"{name}_all"])
    assert {key: value for key, value in found.items() if value > TOLERANCE} == {}


def test_training_ends_early_in_the_same_epoch(trained):
    for devices in ("one", "all"):
        run = trained[f"stopped_{devices}"]
        assert len(run["history"]) < 9 and len(run["history"]) == run["best"] + 2


def test_a_run_on_two_devices_that_is_cut_off_ends_with_the_same_bits(trained):
    """Dropout among them, whose seeds differ by device and are saved of the first one."""
    whole, cut = trained["dropout_all"], trained["dropout_cut"]
    assert all(np.array_equal(whole[name], cut[name]) for name in whole)
    assert not np.allclose(whole["history"][:, 0], trained["plain_all"]["history"][:, 0])


def test_devices_drop_different_units_and_take_even_parts():
    script = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from cxr_tasks.train.loop.devices import Devices
devices = Devices(["CPU:0", "CPU:1"])
with devices.scope():
    network = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5, seed=3)])
def step(images, first):
    dropped = devices.gathered(network(images, training=True))
    assert images.shape == (4, 64), images.shape
    return tf.concat([dropped, devices.gathered(first)], axis=1)
def halves():
    found = devices.compiled(step)(*devices.shared((tf.ones((8, 64)), tf.reshape(tf.range(8.0), (8, 1))))).numpy()
    assert found[:, -1].tolist() == list(range(8)), found[:, -1]
    return found[:4, :-1], found[4:, :-1]
a, b = halves()
assert (a == b).all(), "without seeds of their own devices drop the same"
devices.part_seeds(network)
a, b = halves()
assert not (a == b).all()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_ROOT, check=False, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    from cxr_tasks.train.loop.devices import check_share

    check_share(9, 1, "train.batch_size")
    with pytest.raises(ConfigurationError, match=r"train.batch_size: expected a multiple of the 2 devices .* found 9"):
        check_share(9, 2, "train.batch_size")


def test_one_device_is_used_unless_all_are_asked_for():
    from cxr_tasks.train.loop.devices import training_devices

    assert len(training_devices(PLAIN)) == 1
