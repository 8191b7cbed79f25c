"""Starting weights into a network: layers matched by name, shapes compared before anything is set."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.installation.storage.changes import move, work_folder
from cxr_tasks.installation.storage.files import is_of_the_system
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.train.networks.blocks import HEAD_LAYER
from cxr_tasks.train.weights.starting_weights import (
    IMAGENET_FILE,
    IMAGENET_MD5,
    IMAGENET_URL,
    PHANTOM_FILE,
    WeightsOrigin,
    check_imagenet_file,
    imagenet_missing,
    weights_root,
)

log = logging.getLogger(__name__)

#: Of layers that do not fit, so many are named.
MOST_NAMED = 5
LayerWeights = dict[str, list[np.ndarray]]


def load_starting_weights(network: keras.Model, spec: TrainSpec, findings: tuple[str, ...], work: Path) -> None:
    """Set ``network`` to the weights that ``spec`` names; the log says what was taken and whether the head was.

    Args:
        findings: What the logits of ``network`` stand for. The head of a registered version is taken when its
            findings are these; that of a file, which names none, when its shape fits.
        work: Folder of the training: a registered version is fetched to it, weights from phantoms lie in it.

    Raises:
        ConfigurationError: A layer of the backbone is not in the file or of another shape; nothing was changed.
    """
    origin = WeightsOrigin.of(spec)
    if origin.kind == "none":
        return
    takes_head = True
    if origin.kind == "imagenet":
        stored = _imagenet_weights(imagenet_file())
        takes_head = False
    elif origin.kind == "phantoms":
        stored = read_layer_weights(work / PHANTOM_FILE)
        takes_head = False
    elif origin.kind == "registered":
        from cxr_tasks.registry.version_files import load_version

        version = load_version(origin.model_name, origin.version, work / "starting_weights")
        stored = read_layer_weights(version.model_path)
        takes_head = tuple(version.contract.findings) == findings
    else:
        stored = read_layer_weights(origin.path)
    set_layer_weights(network, stored, spec.starting_weights, takes_head=takes_head)


def set_layer_weights(network: keras.Model, stored: LayerWeights, source: str, *, takes_head: bool) -> None:
    """Copy ``stored`` into the layers of the same names; a head that does not fit keeps its fresh weights."""
    wanted = {layer.name: layer for layer in network.layers if layer.weights}
    faults = []
    for name, layer in wanted.items():
        shapes = [tuple(weight.shape) for weight in layer.weights]
        stored_shapes = [array.shape for array in stored.get(name, [])]
        if name == HEAD_LAYER:
            takes_head = takes_head and stored_shapes == shapes
        elif stored_shapes != shapes:
            faults.append(f"{name}: expected shapes {shapes}, found {stored_shapes or 'no such layer'}")
    if faults:
        more = f"; and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
        raise ConfigurationError(
            f"train.starting_weights: {source} does not fit {network.name}: {'; '.join(faults[:MOST_NAMED])}{more}"
        )
    for name, layer in wanted.items():
        if name != HEAD_LAYER or takes_head:
            layer.set_weights(stored[name])
    log.info(
        "starting weights of %d layers from %s; the head is %s",
        len(wanted) - 1,
        source,
        "taken from there too" if takes_head else "fresh",
    )


def read_layer_weights(path: Path) -> LayerWeights:
    """Layer name -> weights in Keras' order, from ``.keras``, ``.weights.h5`` or HDF5 files of former Keras versions.

    No model is built and no configuration is read, so no code that came with the file can run.

    Raises:
        ConfigurationError: The file holds no weights by layer name.
        OSError: The disk, or the rights to the file.
    """
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as stream:
                weights = _from_hdf5(stream)
        else:
            weights = _from_hdf5(path)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        if is_of_the_system(error):
            raise
        raise ConfigurationError(f"{path}: expected Keras weights, found {error}") from None
    if not weights:
        raise ConfigurationError(f"{path}: expected Keras weights by layer name, found none")
    return weights


def _from_hdf5(source: Any) -> LayerWeights:
    with h5py.File(source, "r") as file:
        root = file.get("model_weights", file)
        if "layer_names" in root.attrs:
            return _from_former_keras(root)
        weights: LayerWeights = {}

        def visit(path: str, item: Any) -> None:
            # Groups are called by class and number ("batch_normalization_7"); the layer's own name is beside them.
            if path.endswith("/vars") and "name" in item.attrs and len(item):
                weights[str(item.attrs["name"])] = [np.asarray(item[str(i)]) for i in range(len(item))]

        file.visititems(visit)
        return weights


def _from_former_keras(root: Any) -> LayerWeights:
    """The layout of ``.h5`` files up to Keras 2; slashes in layer names became underscores in Keras 3."""
    weights = {}
    for layer in (_text(name) for name in root.attrs["layer_names"]):
        names = [_text(name) for name in root[layer].attrs["weight_names"]]
        if names:
            weights[layer.replace("/", "_")] = [np.asarray(root[layer][name]) for name in names]
    return weights


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _imagenet_weights(path: Path) -> LayerWeights:
    """By way of Keras' own loading, which goes by the order of layers: names in that file are of an older Keras."""
    backbone = keras.applications.DenseNet121(include_top=False, weights=str(path), input_shape=(None, None, 3))
    return {layer.name: layer.get_weights() for layer in backbone.layers if layer.weights}


def imagenet_file() -> Path:
    """Keras' published weights under ``var/weights``; downloaded by the first who asks, others wait for it.

    Raises:
        ConfigurationError: The stored file is not the published one, or it cannot be downloaded.
    """
    root = weights_root()
    root.mkdir(parents=True, exist_ok=True)
    path = root / IMAGENET_FILE
    with file_lock(root / f".{IMAGENET_FILE}.lock", what=IMAGENET_FILE, purpose="downloading it"):
        if not path.exists():
            # Beside its place and renamed, as Keras writes to the final name and a kill would leave half a file.
            with work_folder(root) as aside:
                try:
                    got = keras.utils.get_file(
                        IMAGENET_FILE, IMAGENET_URL, file_hash=IMAGENET_MD5, cache_dir=str(aside), cache_subdir=""
                    )
                except Exception as error:  # Keras raises bare Exception for an address that does not answer
                    raise imagenet_missing(path, error) from None
                move(Path(got), path)
        check_imagenet_file(path)
    return path
