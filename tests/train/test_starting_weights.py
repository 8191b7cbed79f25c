"""Starting weights are found wanting before anything starts, without TensorFlow."""

from __future__ import annotations

import hashlib
import importlib.util
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.train.weights import starting_weights
from cxr_tasks.train.weights.starting_weights import (
    IMAGENET_FILE,
    IMAGENET_MD5,
    IMAGENET_URL,
    WeightsOrigin,
    check_starting_weights,
)


def make_spec(weights: str, network: str = "densenet121") -> TrainSpec:
    return TrainSpec(network=network, starting_weights=weights)


def put_file(home: Path, name: str, content: bytes) -> Path:
    path = home / "weights" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("text", "kind", "rest"),
    [
        ("none", "none", {}),
        ("models:/cxr_multilabel/3", "registered", {"model_name": "cxr_multilabel", "version": 3}),
        ("/data/chest.keras", "file", {"path": Path("/data/chest.keras")}),
        ("/data/chest.weights.h5", "file", {"path": Path("/data/chest.weights.h5")}),
    ],
)
def test_the_four_kinds_are_told_apart(cxr_home, text, kind, rest):
    origin = WeightsOrigin.of(make_spec(text))
    assert origin.kind == kind and {name: getattr(origin, name) for name in rest} == rest


def test_a_relative_path_starts_from_the_weights_folder(cxr_home):
    assert WeightsOrigin.of(make_spec("chest.keras")).path == cxr_home / "weights" / "chest.keras"


@pytest.mark.parametrize(
    ("weights", "network", "message"),
    [
        ("imagenet", "residual_cnn", "imagenet is there for densenet121 only, found residual_cnn"),
        ("image_net", "densenet121", "expected none, imagenet, phantoms, models:/NAME/VERSION or a file"),
        ("models:/cxr_multilabel", "densenet121", "expected models:/NAME/VERSION"),
        ("models:/cxr_multilabel/latest", "densenet121", "expected models:/NAME/VERSION"),
        ("/nowhere/chest.keras", "densenet121", r"expected the file /nowhere/chest\.keras, found none"),
    ],
)
def test_what_cannot_be_is_said_at_once(cxr_home, weights, network, message):
    with pytest.raises(ConfigurationError, match=message):
        check_starting_weights(make_spec(weights, network))


def test_address_and_checksum_are_those_of_the_installed_keras():
    folder = Path(importlib.util.find_spec("keras").origin).parent
    source = (folder / "src" / "applications" / "densenet.py").read_text(encoding="utf-8")
    after = source[source.rindex(IMAGENET_FILE) :]
    assert IMAGENET_MD5 in after[: after.index(")")]
    assert IMAGENET_URL.removesuffix(IMAGENET_FILE) in source


def test_an_imagenet_file_with_another_checksum_is_named_and_left_alone(cxr_home):
    path = put_file(cxr_home, IMAGENET_FILE, b"half a download")
    with pytest.raises(ConfigurationError, match=f"{IMAGENET_FILE}.*md5 {IMAGENET_MD5}, found .*damaged"):
        check_starting_weights(make_spec("imagenet"))
    assert path.read_bytes() == b"half a download"


def test_an_imagenet_file_with_the_right_checksum_needs_no_network(cxr_home, monkeypatch):
    put_file(cxr_home, IMAGENET_FILE, b"stands for the weights")
    monkeypatch.setattr(starting_weights, "IMAGENET_MD5", hashlib.md5(b"stands for the weights").hexdigest())
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: pytest.fail("the network was asked"))
    check_starting_weights(make_spec("imagenet"))


def test_without_file_and_network_the_error_says_what_to_put_where(cxr_home, monkeypatch):
    # A port that is closed: what a machine without a network answers, wherever this test runs.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr(starting_weights, "IMAGENET_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/weights.h5")
        with pytest.raises(ConfigurationError) as caught:
            check_starting_weights(make_spec("imagenet"))
    text = str(caught.value)
    assert str(cxr_home / "weights" / IMAGENET_FILE) in text and IMAGENET_MD5 in text
    assert "models:/NAME/VERSION" in text and "to none" in text and "refused" in text


@pytest.mark.parametrize("name", ["chest.keras", "chest.weights.h5"])
def test_a_file_of_another_format_is_named(cxr_home, name):
    path = put_file(cxr_home, name, b"no weights")
    with pytest.raises(ConfigurationError, match=rf"expected (Keras' zip archive|HDF5) in {path}"):
        check_starting_weights(make_spec(name))


@pytest.mark.mlflow
def test_a_version_that_is_not_registered_is_named(cxr_home):
    with pytest.raises(ConfigurationError, match="expected version 3 of cxr_multilabel in the registry"):
        check_starting_weights(make_spec("models:/cxr_multilabel/3"))


def test_the_check_needs_no_tensorflow(cxr_home):
    put_file(cxr_home, "chest.weights.h5", b"")
    script = (
        "import sys\nfrom cxr_tasks.contracts.train_specs import TrainSpec\n"
        "from cxr_tasks.contracts.errors import ConfigurationError\n"
        "from cxr_tasks.train.weights.starting_weights import check_starting_weights\n"
        "try:\n    check_starting_weights(TrainSpec(network='densenet121', starting_weights='chest.weights.h5'))\n"
        "except ConfigurationError as error:\n    print(error)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "expected HDF5" in done.stdout
