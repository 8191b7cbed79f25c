"""Where a network's first weights come from, checked before anything starts. Imports no TensorFlow."""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.installation.storage.paths import home

#: Weights of keras.applications' DenseNet121 without its top, as Keras itself downloads and checks them
#: (keras/src/applications/densenet.py, Keras 3.15).
IMAGENET_FILE = "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/densenet/{IMAGENET_FILE}"
IMAGENET_MD5 = "30ee3e1110167f948a6b9946edeeb738"
#: Until the server has answered that the file is there.
ANSWER_TIMEOUT_S = 10.0

#: In a training's folder: what it started from where that was learnt from drawn X-rays.
PHANTOM_FILE = "phantom_weights.keras"

OTHER_WAYS = (
    "or set train.starting_weights to a Keras weights file, to a registered version (models:/NAME/VERSION), to "
    "phantoms, or to none"
)
#: A version in the registry, as MLflow writes it.
REGISTERED = re.compile(r"models:/(?P<name>[^/]+)/(?P<version>\d+)")


@dataclass(frozen=True, slots=True)
class WeightsOrigin:
    """``train.starting_weights``, understood."""

    kind: Literal["none", "imagenet", "phantoms", "registered", "file"]
    model_name: str = ""
    version: int = 0
    path: Path = Path()

    @classmethod
    def of(cls, spec: TrainSpec) -> WeightsOrigin:
        """What ``spec`` names; a file's path is absolute, or starts from ``var/weights``.

        Raises:
            ConfigurationError: The text is none of the five kinds, or the network has no published weights.
        """
        text = spec.starting_weights
        if text == "none":
            return cls("none")
        if text == "phantoms":
            return cls("phantoms")
        if text == "imagenet":
            if spec.network != "densenet121":
                raise ConfigurationError(
                    f"train.starting_weights: imagenet is there for densenet121 only, found {spec.network}"
                )
            return cls("imagenet", path=weights_root() / IMAGENET_FILE)
        if text.startswith("models:"):
            match = REGISTERED.fullmatch(text)
            if not match:
                raise ConfigurationError(f"train.starting_weights: expected models:/NAME/VERSION, found {text!r}")
            return cls("registered", model_name=match["name"], version=int(match["version"]))
        if text.endswith((".keras", ".h5")):
            return cls("file", path=weights_root() / Path(text).expanduser())
        raise ConfigurationError(
            "train.starting_weights: expected none, imagenet, phantoms, models:/NAME/VERSION or a file ending in "
            f".keras or .h5, found {text!r}"
        )


def weights_root() -> Path:
    """Downloaded weights, and where relative paths of weights files start."""
    return home() / "weights"


def check_starting_weights(spec: TrainSpec, *, asks_registry: bool = True) -> None:
    """Say now what would fail later: an absent or damaged file, a version that is not there, no way to download.

    Args:
        asks_registry: Whether a version is looked for, which the registry has to answer.

    Raises:
        ConfigurationError: With what to do. Nothing has been trained, nothing but a server's answer was fetched.
        ServiceUnavailable: The registry does not answer.
    """
    origin = WeightsOrigin.of(spec)
    if origin.kind == "imagenet":
        if origin.path.exists():
            check_imagenet_file(origin.path)
        else:
            _check_download(origin.path)
    elif origin.kind == "file":
        _check_file(origin.path)
    elif origin.kind == "registered" and asks_registry:
        _check_version("train.starting_weights", origin.model_name, origin.version)


def check_first_model(first_model: str | None, *, asks_registry: bool = True) -> None:
    """As ``check_starting_weights``, of ``train.labels.first_model``."""
    if first_model is None:
        return
    if match := REGISTERED.fullmatch(first_model):
        if asks_registry:
            _check_version("train.labels.first_model", match["name"], int(match["version"]))
        return
    path = weights_root() / Path(first_model).expanduser()
    if path.suffix != ".keras" or not path.is_file():
        raise ConfigurationError(
            "train.labels.first_model: expected models:/NAME/VERSION or an existing .keras file, "
            f"found {first_model!r}; relative paths start from {weights_root()}"
        )


def check_imagenet_file(path: Path) -> None:
    """Compare a stored file with Keras' published checksum; a wrong file is left alone and named."""
    with open(path, "rb") as stream:
        md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != IMAGENET_MD5:
        raise ConfigurationError(
            f"{path}: expected Keras' {IMAGENET_FILE} with md5 {IMAGENET_MD5}, found {md5}: the file is damaged or "
            f"another one. Remove it to have it downloaded again, put the right one there, {OTHER_WAYS}"
        )


def imagenet_missing(path: Path, reason: object) -> ConfigurationError:
    """The error of weights that are neither stored nor to be had."""
    return ConfigurationError(
        f"train.starting_weights: imagenet: expected {path} (md5 {IMAGENET_MD5}), found no such file, and "
        f"{IMAGENET_URL} cannot be downloaded from here ({reason}). Put a copy of that file there, {OTHER_WAYS}"
    )


def _check_download(path: Path) -> None:
    request = urllib.request.Request(IMAGENET_URL, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S):  # noqa: S310 - the address is ours, https
            pass
    except (urllib.error.URLError, OSError) as error:
        raise imagenet_missing(path, getattr(error, "reason", error)) from None


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ConfigurationError(
            f"train.starting_weights: expected the file {path}, found none; relative paths start from {weights_root()}"
        )
    import h5py

    if not (zipfile.is_zipfile(path) if path.suffix == ".keras" else h5py.is_hdf5(path)):
        kind = "Keras' zip archive" if path.suffix == ".keras" else "HDF5"
        raise ConfigurationError(f"train.starting_weights: expected {kind} in {path}, found something else")


def _check_version(setting: str, model_name: str, version: int) -> None:
    from mlflow.exceptions import MlflowException

    from cxr_tasks.registry import tracking

    try:
        with tracking.outside_failures("MLflow"):
            tracking.client().get_model_version(model_name, str(version))
    except MlflowException as error:
        raise ConfigurationError(
            f"{setting}: expected version {version} of {model_name} in the registry at {tracking.tracking_uri()}, "
            f"found none ({error})"
        ) from None
