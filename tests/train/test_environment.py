from __future__ import annotations

import hashlib

from cxr_tasks.contracts.label_policies import LabelSpec
from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.train.environment import processor_name, training_environment
from cxr_tasks.train.weights.starting_weights import PHANTOM_FILE, weights_root


def test_weights_by_file_are_told_by_their_content(cxr_home, tmp_path):
    weights_root().mkdir(parents=True)
    (weights_root() / "start.keras").write_bytes(b"weights")
    spec = TrainSpec(
        network="residual_cnn",
        starting_weights="start.keras",
        labels=LabelSpec(first_model="models:/cxr_multilabel/3"),  # a version cannot change
    )
    found = training_environment(spec, n_gpus=0, precision="float32", folder=tmp_path)
    assert found["sha256 of train.starting_weights"] == hashlib.sha256(b"weights").hexdigest()
    assert "sha256 of train.labels.first_model" not in found
    assert (found["precision"], found["n_gpus"]) == ("float32", 0)
    assert {"python", "tensorflow", "processor", "commit"} <= set(found)


def test_weights_from_phantoms_are_told_by_their_content(tmp_path):
    (tmp_path / PHANTOM_FILE).write_bytes(b"learnt")
    spec = TrainSpec(network="residual_cnn", starting_weights="phantoms")
    found = training_environment(spec, n_gpus=0, precision="float32", folder=tmp_path)
    assert found["sha256 of train.starting_weights"] == hashlib.sha256(b"learnt").hexdigest()


def test_the_processor_has_the_name_that_the_system_gives_it(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Some CPU @ 2.1GHz\nmodel name : other\n")
    assert processor_name(tmp_path / "cpuinfo") == "Some CPU @ 2.1GHz"
    assert processor_name(tmp_path / "absent")
