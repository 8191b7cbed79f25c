"""Weights of files into networks, by layer name."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import re
from pathlib import Path

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.contracts.train_specs import TrainSpec

pytestmark = pytest.mark.tf


def make_network(seed, n_findings=2, widths=(4, 6)):
    from cxr_tasks.train.networks.networks import build_network

    return build_network(
        "residual_cnn", size_px=32, n_findings=n_findings, options={"widths": list(widths), "dropout": 0.1}, seed=seed
    )


def make_spec(weights) -> TrainSpec:
    return TrainSpec(network="residual_cnn", starting_weights=str(weights))


def load(network, spec, work, findings=("edema", "mass")):
    from cxr_tasks.train.weights.load_weights import load_starting_weights

    load_starting_weights(network, spec, findings, work)


def saved(network, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".weights.h5"):
        network.save_weights(path)
    else:
        network.save(path)
    return path


def differing(a, b):
    """Layers whose weights differ."""
    pairs = zip(a.layers, b.layers, strict=True)
    return {
        one.name
        for one, other in pairs
        if any(not np.array_equal(x, y) for x, y in zip(one.get_weights(), other.get_weights(), strict=True))
    }


@pytest.mark.parametrize("name", ["chest.keras", "chest.weights.h5", "former.h5"])
def test_a_file_gives_backbone_and_head(tmp_path, name):
    source, network = make_network(1), make_network(2)
    # Initial statistics are the same for every seed: made to differ, so that leaving them out would show.
    source.set_weights([one + 0.1 for one in source.get_weights()])
    assert len(differing(source, network)) > 5
    load(network, make_spec(saved(source, tmp_path / name)), tmp_path)
    assert differing(source, network) == set()


def test_a_head_for_other_findings_stays_fresh_and_the_log_says_so(tmp_path, caplog):
    source, network, fresh = make_network(1, n_findings=5), make_network(2), make_network(2)
    with caplog.at_level(logging.INFO):
        load(network, make_spec(saved(source, tmp_path / "chest.keras")), tmp_path)
    assert "the head is fresh" in caplog.text
    assert np.array_equal(network.get_layer("head").kernel, fresh.get_layer("head").kernel)
    assert differing(network, fresh) >= {"stem", "block_1_conv_1", "block_2_shortcut"}


def test_shapes_that_do_not_fit_are_named_and_nothing_is_changed(tmp_path):
    source, network, fresh = make_network(1, widths=(4, 8)), make_network(2), make_network(2)
    with pytest.raises(
        ConfigurationError, match=r"block_2_shortcut: expected shapes \[\(1, 1, 4, 6\)\], found \[\(1, 1, 4, 8\)\]"
    ):
        load(network, make_spec(saved(source, tmp_path / "chest.keras")), tmp_path)
    assert differing(network, fresh) == set()


def test_layers_that_are_not_there_are_named(tmp_path):
    source = make_network(1, widths=(4,))
    with pytest.raises(
        ConfigurationError, match=r"block_2_conv_1: expected shapes .*, found no such layer.* and \d more"
    ):
        load(make_network(2), make_spec(saved(source, tmp_path / "chest.weights.h5")), tmp_path)


def test_a_file_without_layers_is_named(tmp_path):
    import h5py

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ConfigurationError, match=r"other\.h5: expected Keras weights by layer name, found none"):
        load(make_network(1), make_spec(tmp_path / "other.h5"), tmp_path)


@pytest.mark.mlflow
@pytest.mark.parametrize(("findings", "head"), [(("edema", "mass"), set()), (("mass", "edema"), {"head"})])
def test_a_registered_version_gives_its_head_for_the_same_findings_only(cxr_home, tmp_path, findings, head):
    from cxr_tasks.registry import tracking, version_files
    from cxr_tasks.train.weights.starting_weights import check_starting_weights

    source = make_network(1)
    contract = ServingContract(
        model_name="cxr_multilabel", pixels=PixelSpec(size_px=32), dataset="x", dataset_fingerprint="0", recipe="x",
        recipe_sha256="0",
        decisions=tuple(FindingDecision(finding=one, a=1.0, b=0.0, threshold=0.5) for one in ("edema", "mass")),
    )  # fmt: skip
    with tracking.open_run("cxr_multilabel", "former") as run:
        number = version_files.register(
            model_name="cxr_multilabel", run_id=run.run_id, model_path=saved(source, tmp_path / "model.keras"),
            contract=contract, tags={}, work=tmp_path / "register",
        )  # fmt: skip
    spec, network = make_spec(f"models:/cxr_multilabel/{number}"), make_network(2)
    check_starting_weights(spec)
    load(network, spec, tmp_path, findings)
    assert differing(source, network) == head


def former_file(backbone, path: Path) -> Path:
    """``backbone``'s weights as Keras published them: by layer, in their order, under names with slashes."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        names = []
        for layer in backbone.layers:
            name = re.sub(r"^conv1_", "conv1/", layer.name)
            names.append(name.encode())
            group = file.create_group(name)
            weight_names = [f"{name}/{v.name}:0".encode() for v in layer.weights]
            group.attrs["weight_names"] = weight_names
            for key, value in zip(weight_names, layer.get_weights(), strict=True):
                group[key] = value
        file.attrs["layer_names"] = names
    return path


def test_imagenet_weights_reach_every_layer_of_the_backbone(cxr_home, monkeypatch):
    import keras

    from cxr_tasks.train.networks.networks import build_network
    from cxr_tasks.train.weights import load_weights, starting_weights

    published = keras.applications.DenseNet121(include_top=False, weights=None, input_shape=(None, None, 3))
    published.set_weights([one + 0.01 for one in published.get_weights()])
    path = former_file(published, starting_weights.weights_root() / starting_weights.IMAGENET_FILE)
    checksum = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(starting_weights, "IMAGENET_MD5", checksum)
    network = build_network("densenet121", size_px=64, n_findings=3, options={}, seed=1)
    head = network.get_layer("head").get_weights()
    spec = dataclasses.replace(make_spec("imagenet"), network="densenet121")
    load_weights.load_starting_weights(network, spec, ("a", "b", "c"), cxr_home)
    for name in ("conv1_conv", "conv3_block7_1_bn", "pool4_conv", "bn"):
        pairs = zip(network.get_layer(name).get_weights(), published.get_layer(name).get_weights(), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs), name
    assert all(np.array_equal(a, b) for a, b in zip(head, network.get_layer("head").get_weights(), strict=True))


def test_a_download_that_fails_leaves_nothing_behind(cxr_home, monkeypatch):
    from cxr_tasks.train.weights import load_weights
    from cxr_tasks.train.weights.starting_weights import weights_root

    monkeypatch.setattr(load_weights, "IMAGENET_URL", "http://127.0.0.1:9/weights.h5")
    with pytest.raises(ConfigurationError, match="Put a copy of that file there"):
        load_weights.imagenet_file()
    assert [file.suffix for file in weights_root().iterdir()] == [".lock"]


def test_what_is_downloaded_is_checked_and_kept(cxr_home, tmp_path, monkeypatch):
    from cxr_tasks.train.weights import load_weights, starting_weights

    content = b"stands for the weights"
    (tmp_path / "published.h5").write_bytes(content)
    monkeypatch.setattr(load_weights, "IMAGENET_URL", (tmp_path / "published.h5").as_uri())
    with pytest.raises(ConfigurationError, match="cannot be downloaded"):
        load_weights.imagenet_file()  # not what Keras published
    for module in (load_weights, starting_weights):
        monkeypatch.setattr(module, "IMAGENET_MD5", hashlib.md5(content).hexdigest())
    assert load_weights.imagenet_file().read_bytes() == content
    (tmp_path / "published.h5").unlink()
    assert load_weights.imagenet_file().read_bytes() == content  # once is enough
