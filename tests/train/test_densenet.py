"""DenseNet121: names, blocks and shapes others rely on; what grey becomes; a saved model loads and explains."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.images.rules import RequestLimits

pytestmark = pytest.mark.tf

SIZE_PX = 64
FINDINGS = ("atelectasis", "edema", "hernia")


@pytest.fixture(scope="module")
def network():
    """Built once: it takes seconds."""
    from cxr_tasks.train.networks.networks import build_network

    return build_network(
        "densenet121", size_px=SIZE_PX, n_findings=3, options={"dropout": 0.2, "batch_norm_momentum": 0.8}, seed=5
    )


def images(n=2):
    return np.random.default_rng(0).random((n, SIZE_PX, SIZE_PX, 1)).astype("f")


def test_layers_have_the_names_and_shapes_that_heat_maps_look_for(network):
    assert network.get_layer("features").output.shape == (None, 2, 2, 1024)
    assert network.output.shape == (None, 3) and network.output.dtype == "float32"
    names = [layer.name for layer in network.layers]
    assert names.index("features") < names.index("pool") < names.index("dropout") < names.index("head")
    # 7,037,504 in the published backbone without its top (Keras' table of applications), 3 x 1024 + 3 in the head.
    assert network.count_params() == 7_037_504 + 3 * 1024 + 3


def test_options_reach_the_layers(network):
    import keras

    norms = [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]
    assert len(norms) == 121 and {one.momentum for one in norms} == {0.8}
    assert network.get_layer("dropout").rate == 0.2


def test_grey_is_scaled_as_imagenets_colours_were(network):
    import keras

    scaled = keras.Model(network.inputs[0], network.get_layer("standardise").output)(images()).numpy()
    # What keras.applications does to colour images on [0, 255].
    expected = keras.applications.densenet.preprocess_input(np.repeat(images(), 3, axis=-1) * 255)
    assert scaled == pytest.approx(expected, abs=1e-5)


def test_every_layer_with_weights_is_in_its_block(network):
    from cxr_tasks.train.networks.blocks import blocks_of

    blocks = blocks_of(network)
    expected = {
        "conv1_conv": 5, "conv1_bn": 5, "conv2_block1_0_bn": 4, "pool2_conv": 4, "conv3_block12_2_conv": 3,
        "pool3_bn": 3, "conv4_block24_1_conv": 2, "pool4_conv": 2, "conv5_block1_0_bn": 1, "bn": 1, "head": 0,
    }  # fmt: skip
    assert {name: blocks[name] for name in expected} == expected
    assert set(blocks) == {layer.name for layer in network.layers if layer.weights}


def test_saved_it_loads_in_safe_mode_with_the_same_answers_and_explains(network, tmp_path):
    import keras
    import tensorflow as tf

    from serving.export import signature
    from serving.export.frozen import frozen_network

    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert loaded(images()).numpy() == pytest.approx(network(images()).numpy(), abs=1e-5)
    contract = ServingContract(
        model_name="cxr_multilabel", pixels=PixelSpec(size_px=SIZE_PX), dataset="x", dataset_fingerprint="0",
        recipe="x", recipe_sha256="0",
        decisions=tuple(FindingDecision(finding=one, a=1.0, b=0.0, threshold=0.5) for one in FINDINGS),
    )  # fmt: skip
    picture = (images(1)[0] * 255).astype(np.uint8)
    content = tf.io.encode_png(picture).numpy()
    served = tf.function(
        signature.explain(frozen_network(loaded), contract, RequestLimits()),
        input_signature=signature.input_signature(),
    )
    answer = served(tf.constant([content, content]))
    assert answer["heat_maps"].shape == (2, 3, 2, 2)
    logits = network(picture[None].astype("f") / 255).numpy()
    assert answer["probabilities"].numpy()[0] == pytest.approx(1 / (1 + np.exp(-logits[0])), abs=1e-4)


def test_the_copy_for_training_gives_the_same_features(network):
    import keras

    from cxr_tasks.train.networks.lean_norm import NormalisedConvolution, with_lean_norm

    lean = with_lean_norm(network)
    # Two in each of 58 layers but for the transitions' one, and without the stem's, which nothing stands before.
    assert sum(isinstance(layer, NormalisedConvolution) for layer in lean.layers) == 2 * 58 + 3
    both = [keras.Model(one.inputs[0], one.get_layer("features").output)(images()).numpy() for one in (network, lean)]
    assert both[1] == pytest.approx(both[0], abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size_px": 48}, "pixels.size_px from 64 up, found 48"),
        ({"options": {"dropout": 1.0}}, "dropout"),
        ({"options": {"widths": [4]}}, "'widths' is not known"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    from cxr_tasks.train.networks.networks import build_network

    with pytest.raises(ConfigurationError, match=message):
        build_network("densenet121", **{"size_px": 64, "n_findings": 1, "options": {}, **settings})
