"""Training in phases: what moves when, cached features against computed ones, and a run killed in any phase."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.contracts.train_specs import AugmentSpec, LossSpec, PhaseSpec, TrainSpec
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.tf

HEAD = PhaseSpec(name="head", epochs=2, learning_rate=0.02, unfrozen_blocks=0, augment=False)
TOP = PhaseSpec(
    name="top", epochs=2, learning_rate=0.01, unfrozen_blocks=1, lower_rate=0.5, batch_norm="frozen", warmup_epochs=1
)
ALL = PhaseSpec(name="all", epochs=2, learning_rate=0.005, lower_rate=0.5)
#: Slow enough to be killed in the middle of an epoch: waits after the training of one, before it is saved.
WORKER = """
import json, sys, time
from pathlib import Path
import numpy as np
from cxr_tasks.contracts.shapes import build
from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.train.loop import fit
from cxr_tasks.datasets.load import LoadedSplit

order = json.loads(Path(sys.argv[1]).read_text())
step = fit.Trainer.run_epoch
def waiting(self, epoch, batches):
    record = step(self, epoch, batches)
    if epoch == int(sys.argv[2]):
        Path(order["mark"]).write_text(str(epoch))
        time.sleep(120)
    return record
fit.Trainer.run_epoch = waiting
splits = [LoadedSplit(*np.load(file).values()) for file in order["splits"]]
fit.fit(*splits, build(TrainSpec, order["spec"], "spec"), precision=order["precision"], folder=Path(order["folder"]),
        on_epoch=lambda progress: None)
"""


@pytest.fixture
def phased(tiny_recipe) -> TrainSpec:
    augment = AugmentSpec(shift=0.05, noise=0.02, mix=0.1)
    return dataclasses.replace(
        tiny_recipe.train, phases=(HEAD, TOP, ALL), accumulate_steps=4, stress_views=0, augment=augment
    )


class Stop(Exception):
    """Stands for the end of the process."""


def run_fit(spec, make_split, folder, on_epoch=lambda progress: None, precision="float32", **settings):
    from cxr_tasks.train.loop.fit import fit

    folder.mkdir(exist_ok=True)
    splits = make_split(48), make_split(20, seed=1)
    return fit(*splits, spec, precision=precision, folder=folder, on_epoch=on_epoch, **settings)


def trained_parts(spec, make_split, folder):
    """Names of the layers whose weights in the result differ from the first ones."""
    from cxr_tasks.train.networks.networks import build_network

    network = run_fit(spec, make_split, folder).network
    first = build_network(spec.network, size_px=16, n_findings=1, options=spec.network_options, seed=spec.seed)
    return {
        v.path.rsplit("/")[-2] + "/" + v.name
        for v, old, new in zip(network.weights, first.get_weights(), network.get_weights(), strict=True)
        if not np.array_equal(old, new)
    }


def test_each_phase_moves_what_it_says(phased, make_split, tmp_path):
    def only(*phases):
        return dataclasses.replace(phased, phases=phases)

    assert trained_parts(only(HEAD), make_split, tmp_path / "head") == {"head/kernel", "head/bias"}
    top = trained_parts(only(TOP), make_split, tmp_path / "top")
    assert {one.partition("/")[0] for one in top} >= {"head", "block_2_conv_1", "block_2_2_norm"}
    assert not [one for one in top if "moving" in one or one.startswith(("block_1", "stem"))]
    everything = trained_parts(only(ALL), make_split, tmp_path / "all")
    assert {"stem/kernel", "block_1_2_norm/moving_mean", "head/bias"} <= everything


def test_a_run_starts_from_the_weights_it_names_and_not_again_when_it_is_taken_up(phased, make_split, tmp_path):
    former = run_fit(dataclasses.replace(phased, phases=(ALL,)), make_split, tmp_path / "former").network
    former.save(tmp_path / "former.keras")
    spec = dataclasses.replace(phased, phases=(HEAD,), starting_weights=str(tmp_path / "former.keras"))

    def stop(progress):
        raise Stop

    with pytest.raises(Stop):
        run_fit(spec, make_split, tmp_path / "run", stop)
    (tmp_path / "former.keras").unlink()
    network = run_fit(spec, make_split, tmp_path / "run").network
    same = {
        v.path for v, a, b in zip(network.weights, former.get_weights(), network.get_weights(), strict=True)
        if np.array_equal(a, b)
    }  # fmt: skip
    assert {v.path for v in network.weights} - same == {"head/kernel", "head/bias"}


def test_history_and_best_epoch_run_over_all_phases(phased, make_split, tmp_path):
    seen = []
    fitted = run_fit(phased, make_split, tmp_path, lambda p: seen.append((p.epochs_run, p.phase)))
    assert seen == [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2)]
    history = fitted.progress.history
    assert [record["phase"] for record in history] == [1, 1, 2, 2, 3, 3]
    assert history[2]["learning_rate"] == pytest.approx(TOP.learning_rate)  # at the end of its warm-up
    assert history[fitted.progress.best_epoch - 1]["val_score"] == max(record["val_score"] for record in history)
    assert not list(tmp_path.glob("features-*"))


def test_a_phase_without_progress_gives_way_to_the_next_which_starts_from_the_best(phased, make_split, tmp_path):
    stuck = dataclasses.replace(HEAD, learning_rate=1e-8, epochs=9, early_stopping_patience=2)
    spec = dataclasses.replace(phased, phases=(stuck, dataclasses.replace(stuck, name="again")), ema_momentum=None)
    progress = run_fit(spec, make_split, tmp_path).progress
    phases = [record["phase"] for record in progress.history]
    assert phases.count(1) < 9 and phases.count(2) < 9
    assert progress.stopped_by == "no better validation score for 2 epochs"


@pytest.mark.parametrize("cached_is_augmented", [False, True], ids=["without", "with zero augmentation"])
def test_cached_features_give_the_result_of_running_the_backbone(
    phased, make_split, tmp_path, monkeypatch, cached_is_augmented
):
    from cxr_tasks.train.loop import trainer

    computed = []
    compute = trainer.cached_features
    monkeypatch.setattr(trainer, "cached_features", lambda *a: computed.append(a[1]) or compute(*a))
    head = dataclasses.replace(HEAD, epochs=4, augment=cached_is_augmented)
    augment = AugmentSpec() if cached_is_augmented else phased.augment
    results = {}
    for cache in ("auto", "never"):
        phases = (dataclasses.replace(head, cache_features=cache),)
        spec = dataclasses.replace(phased, phases=phases, augment=augment, stress_views=1)
        results[cache] = run_fit(spec, make_split, tmp_path / cache)
        assert computed == ["train", "validation-0", "validation-1"]  # once, for four epochs
    for cached, run in zip(*(one.network.get_weights() for one in results.values()), strict=True):
        assert cached == pytest.approx(run, abs=1e-5)
    for cached, run in zip(*(one.progress.history for one in results.values()), strict=True):
        assert [cached[k] for k in ("loss", "val_loss", "val_score")] == pytest.approx(
            [run[k] for k in ("loss", "val_loss", "val_score")], abs=1e-4
        )


def test_flip_at_the_end_answers_an_image_and_its_mirror_alike(phased, make_split, tmp_path):
    spec = dataclasses.replace(phased, phases=(HEAD,), test_time_flip=True)
    network = run_fit(spec, make_split, tmp_path).network
    images = make_split(4).images.astype("f") / 255
    assert network(images).numpy() == pytest.approx(network(images[:, :, ::-1]).numpy(), abs=1e-6)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_killed_in_every_phase_it_ends_with_the_same_bits(phased, make_split, tmp_path, precision):
    never_killed = run_fit(phased, make_split, tmp_path / "whole", precision=precision)
    folder = tmp_path / "killed"
    folder.mkdir()
    for number, split in enumerate((make_split(48), make_split(20, seed=1))):
        np.savez(tmp_path / f"{number}.npz", images=split.images, labels=split.labels)
    order = {
        "spec": plain(phased), "precision": precision, "folder": str(folder), "mark": str(tmp_path / "mark"),
        "splits": [str(tmp_path / "0.npz"), str(tmp_path / "1.npz")],
    }  # fmt: skip
    (tmp_path / "order.json").write_text(json.dumps(order))
    assert build(TrainSpec, order["spec"], "spec") == phased
    for epoch in (2, 3, 6):  # in the cached phase, in the first epoch of the next, in the last of all
        _kill_in_epoch(epoch, tmp_path)
    seen = []
    resumed = run_fit(phased, make_split, folder, lambda p: seen.append(p.epochs_run), precision=precision)
    assert seen == [6]
    pairs = zip(never_killed.network.get_weights(), resumed.network.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    timings = {"seconds", "images_per_second"}
    histories = [
        [{k: v for k, v in record.items() if k not in timings} for record in one.progress.history]
        for one in (never_killed, resumed)
    ]
    assert histories[0] == histories[1]


@pytest.mark.parametrize("kind", ["auc_margin", "focal"])
def test_all_that_learns_beside_the_network_is_taken_up_again(phased, make_split, tmp_path, kind):
    """The head of a third class, the loss' own variables and its optimizer, images drawn by class."""
    from cxr_tasks.train.data.label_treatment import Targets

    labels = make_split(48).labels
    is_uncertain = np.arange(48)[:, None] % 5 == 0
    targets = Targets(np.where(is_uncertain, np.nan, labels).astype("f"), is_uncertain)
    spec = dataclasses.replace(phased, loss=LossSpec(kind=kind), sampling="class_aware")
    whole = run_fit(spec, make_split, tmp_path / "whole", targets=targets)

    def stop(progress):
        if progress.epochs_run in {3, 4}:  # in the middle and at the end of a phase
            raise Stop

    for _ in range(2):
        with pytest.raises(Stop):
            run_fit(spec, make_split, tmp_path / "stopped", stop, targets=targets)
    resumed = run_fit(spec, make_split, tmp_path / "stopped", targets=targets)
    assert [one["loss"] for one in resumed.progress.history] == [one["loss"] for one in whole.progress.history]
    pairs = zip(whole.network.get_weights(), resumed.network.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    # What is kept is the network alone, with one logit per finding.
    assert whole.network.output.shape == (None, 1) and "head" in [layer.name for layer in whole.network.layers]


@pytest.mark.usefixtures("op_by_op")
def test_counters_of_early_stopping_go_on_where_they_were(phased, make_split, tmp_path):
    """Keras' own callback begins to count anew after a kill, and trains for as long again as it may wait."""
    stuck = dataclasses.replace(HEAD, learning_rate=1e-8, epochs=9, early_stopping_patience=3)
    last = dataclasses.replace(stuck, name="again", early_stopping_patience=4)
    spec = dataclasses.replace(phased, phases=(stuck, last), ema_momentum=None)
    whole = run_fit(spec, make_split, tmp_path / "whole").progress

    def stop(progress):
        raise Stop

    for _ in range(whole.epochs_run):  # one epoch at a time
        with pytest.raises(Stop):
            run_fit(spec, make_split, tmp_path / "stopped", stop)
    resumed = run_fit(spec, make_split, tmp_path / "stopped").progress
    assert resumed.stopped_by == whole.stopped_by == "no better validation score for 4 epochs"
    phases = [record["phase"] for record in whole.history]
    assert phases.count(1) < 9 and phases.count(2) < 9
    assert [record["phase"] for record in resumed.history] == phases
    assert (resumed.epochs_run, resumed.best_epoch) == (whole.epochs_run, whole.best_epoch)


def test_densenet_ends_with_the_same_weights_when_it_is_taken_up(tmp_path):
    """Its normalisation and its backward pass are our own (``lean_norm``)."""
    from cxr_tasks.datasets.load import LoadedSplit
    from cxr_tasks.train.loop.fit import fit

    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (16, 64, 64, 1), dtype=np.uint8)
    split = LoadedSplit(images, (np.arange(16) % 2).astype("f")[:, None])
    spec = TrainSpec(network="densenet121", phases=(ALL,), batch_size=8, ema_momentum=0.9, seed=3)

    def run(name, on_epoch=lambda progress: None):
        (tmp_path / name).mkdir(exist_ok=True)
        return fit(split, split, spec, precision="mixed_bfloat16", folder=tmp_path / name, on_epoch=on_epoch)

    def stop(progress):
        raise Stop

    whole = run("whole").network.get_weights()
    with pytest.raises(Stop):
        run("stopped", stop)
    resumed = run("stopped").network.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))


def _kill_in_epoch(epoch: int, folder: Path) -> None:
    """Start a process that trains, and kill it after ``epoch`` was trained, before it is saved."""
    mark = folder / "mark"
    mark.unlink(missing_ok=True)
    command = [sys.executable, "-c", WORKER, str(folder / "order.json"), str(epoch)]
    worker = subprocess.Popen(command, cwd=PROJECT_ROOT, env=dict(os.environ))
    wait_until(mark.exists, f"epoch {epoch}", of=worker)
    worker.send_signal(signal.SIGKILL)
    worker.wait(timeout=300)
