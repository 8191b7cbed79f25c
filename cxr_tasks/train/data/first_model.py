"""The first model of self-training: its probabilities for images whose labels are uncertain."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.serving_contract import FILE_NAME, ServingContract
from cxr_tasks.registry.version_files import read_contract
from cxr_tasks.train.weights.starting_weights import REGISTERED, check_first_model, weights_root

if TYPE_CHECKING:
    from cxr_tasks.datasets.load import LoadedSplit

log = logging.getLogger(__name__)

#: Images taken out of the split at a time, so that memory does not grow with their number.
PART = 1024


def soft_labels_of(
    first_model: str, split: LoadedSplit, findings: Sequence[str], work: Path, *, rows: np.ndarray | None = None
) -> np.ndarray:
    """Probabilities of ``first_model``, float32 ``(n, k)`` in [0, 1]; NaN for findings that it does not know.

    Calibrated where the model has a serving contract (a registered version, or ``serving.json`` beside the file);
    without one the outputs are taken for ``findings`` in their order and the sigmoid of the logits as it is.

    Args:
        first_model: ``models:/NAME/VERSION`` in the registry, or a ``.keras`` file (relative: from ``var/weights``).
        work: Where a registered version is fetched to.
        rows: bool ``(n,)``: images to be scored; the others are NaN. None scores all.

    Raises:
        ConfigurationError: No such model, or it knows none of ``findings``.
        DataDefect: The model is made for another image size or number of findings.
    """
    from cxr_tasks.statistics.calibration import sigmoid
    from cxr_tasks.train.networks.saved import load_model, logits_of

    path, contract = _locate(first_model, work)
    outputs = list(findings) if contract is None else list(contract.findings)
    columns = np.array([place for place, finding in enumerate(findings) if finding in outputs], int)
    if not columns.size:
        raise ConfigurationError(
            f"train.labels.first_model: expected a model for some of {', '.join(findings)}; {first_model} is one for "
            f"{', '.join(outputs)}"
        )
    model = load_model(path, size_px=split.images.shape[1], n_findings=len(outputs))
    places = [outputs.index(findings[column]) for column in columns]
    slope, offset = (
        (1.0, 0.0)
        if contract is None
        else np.array([(contract.decisions[i].a, contract.decisions[i].b) for i in places]).T
    )
    scored = np.arange(len(split)) if rows is None else np.flatnonzero(rows)
    log.info("%d of %d images are scored by the first model, %s", len(scored), len(split), first_model)
    soft = np.full((len(split), len(findings)), np.nan, np.float32)
    for start in range(0, len(scored), PART):
        part = scored[start : start + PART]
        logits = logits_of(model, split.images[part])[:, places]
        soft[np.ix_(part, columns)] = sigmoid(slope * logits + offset)
    return soft


def _locate(first_model: str, work: Path) -> tuple[Path, ServingContract | None]:
    """The ``.keras`` file on disk and the contract that came with it."""
    check_first_model(first_model, asks_registry=False)
    if match := REGISTERED.fullmatch(first_model):
        return _fetched(match["name"], int(match["version"]), work)
    path = weights_root() / Path(first_model).expanduser()
    beside = path.with_name(FILE_NAME)
    return path, read_contract(beside) if beside.exists() else None


def _fetched(name: str, version: int, work: Path) -> tuple[Path, ServingContract]:
    from mlflow.exceptions import MlflowException

    from cxr_tasks.registry import tracking
    from cxr_tasks.registry.version_files import load_version

    try:
        loaded = load_version(name, version, work)
    except MlflowException as error:
        raise ConfigurationError(
            f"train.labels.first_model: expected version {version} of {name} in the registry at "
            f"{tracking.tracking_uri()}, found none ({error})"
        ) from None
    return loaded.model_path, loaded.contract
