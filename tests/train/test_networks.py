"""Networks: names and shapes others rely on, and invariances they are built for."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError

pytestmark = pytest.mark.tf

OPTIONS = {"widths": [4, 8], "dropout": 0.2, "instance_norm_stages": 1, "local_contrast": True}


def make_network(**options):
    from cxr_tasks.train.networks.networks import build_network

    return build_network("residual_cnn", size_px=32, n_findings=3, options={**OPTIONS, **options}, seed=5)


def test_layers_have_the_names_and_shapes_that_heat_maps_look_for():
    network = make_network()
    assert network.get_layer("features").output.shape == (None, 8, 8, 8)
    names = [layer.name for layer in network.layers]
    assert names.index("features") < names.index("pool") < names.index("head")
    assert network.output.shape == (None, 3) and network.output.dtype == "float32"


def test_logits_are_the_head_over_the_mean_of_features():
    import keras

    network = make_network()
    images = np.random.default_rng(0).random((2, 32, 32, 1)).astype(np.float32)
    features = keras.Model(network.input, network.get_layer("features").output)(images).numpy()
    kernel, bias = network.get_layer("head").get_weights()
    assert network(images).numpy() == pytest.approx(features.mean((1, 2)) @ kernel + bias, abs=1e-5)


@pytest.mark.parametrize("change", [lambda x: 0.5 * x, lambda x: 0.3 + 0.5 * x], ids=["darker", "flatter"])
def test_brightness_and_contrast_of_the_whole_image_hardly_matter(change):
    network = make_network()
    images = np.random.default_rng(1).random((4, 32, 32, 1)).astype(np.float32)
    assert network(change(images)).numpy() == pytest.approx(network(images).numpy(), abs=0.05)
    assert np.ptp(network(images).numpy(), axis=0).min() > 1e-3  # and it is no constant


def test_seed_decides_the_weights():
    from cxr_tasks.train.networks.networks import build_network

    def weights(seed):
        return build_network("residual_cnn", size_px=32, n_findings=1, options=OPTIONS, seed=seed).get_weights()

    assert all(np.array_equal(a, b) for a, b in zip(weights(1), weights(1), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights(1), weights(2), strict=True))


def test_saved_model_loads_in_a_process_that_knows_keras_only(tmp_path):
    network = make_network()
    images = np.random.default_rng(2).random((2, 32, 32, 1)).astype(np.float32)
    network.save(tmp_path / "model.keras")
    np.savez(tmp_path / "io.npz", images=images, logits=network(images))
    script = (
        "import keras, numpy, sys; io = numpy.load('io.npz'); model = keras.saving.load_model('model.keras');"
        "assert numpy.allclose(model(io['images']), io['logits'], atol=1e-5);"
        "assert not [m for m in sys.modules if m.startswith('cxr_tasks')]"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet", {}, "'resnet' is not known"),
        ("densenet", {}, "did you mean 'densenet121'"),
        ("residual_cnn", {"width": [8]}, "did you mean 'widths'"),
        ("residual_cnn", {"dropout": 1.5}, "dropout"),
        ("residual_cnn", {"widths": []}, "positive widths"),
    ],
)
def test_wrong_settings_are_named(name, options, message):
    from cxr_tasks.train.networks.networks import build_network

    with pytest.raises(ConfigurationError, match=message):
        build_network(name, size_px=32, n_findings=1, options=options)


def flipped(images):
    return images[:, :, ::-1]


def test_with_flip_it_answers_with_the_mean_of_image_and_mirror_image(tmp_path):
    import keras

    from cxr_tasks.train.networks.networks import network_with_flip

    network = make_network()
    images = np.random.default_rng(3).random((3, 32, 32, 1)).astype("f")
    alone = (network(images).numpy(), network(flipped(images)).numpy())
    features = keras.Model(network.input, network.get_layer("features").output)(images).numpy()
    assert np.abs(alone[0] - alone[1]).max() > 1e-4
    network_with_flip(network).save(tmp_path / "both.keras")
    both = keras.models.load_model(tmp_path / "both.keras", compile=False, safe_mode=True)
    assert both(images).numpy() == pytest.approx((alone[0] + alone[1]) / 2, abs=1e-5)
    # Heat maps are of the image as it is, and no weight is there twice.
    found = keras.Model(both.inputs[0], both.get_layer("features").output)(images).numpy()
    assert found == pytest.approx(features, abs=1e-5)
    assert both.get_layer("head").kernel.shape == (8, 3) and len(both.weights) == len(network.weights)
    from cxr_tasks.explain.cam import GradCam

    pixels = (images * 255).astype(np.uint8)
    alone, half = GradCam(network).maps(pixels, 1), GradCam(both).maps(pixels, 1)
    assert half == pytest.approx(alone / 2, abs=1e-5) and alone.max() > 0


def test_options_in_force_are_those_of_the_network():
    from cxr_tasks.train.networks.networks import options_of

    assert options_of({"dropout": 0.5}, "densenet121") == {"dropout": 0.5, "batch_norm_momentum": 0.9}
    assert options_of({"widths": [4]}, "residual_cnn")["widths"] == (4,)
