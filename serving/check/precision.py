"""In which arithmetic a version is to answer: bfloat16 where the processor has it and the ranking stays what it was."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cxr_tasks.contracts.errors import CxrError, DataDefect, UndefinedMetric
from cxr_tasks.contracts.serving_contract import UNUSUAL_BELOW, ServingContract
from cxr_tasks.datasets.latest import dataset_of
from cxr_tasks.datasets.load import plain_batches, stored_split
from cxr_tasks.installation.processor import has_bf16_units
from cxr_tasks.statistics.scores import auroc
from cxr_tasks.statistics.typicality import Shape, typicality
from serving.export.frozen import FrozenNetwork, frozen_network
from serving.export.lean import BF16
from serving.export.precision_asked import FLOAT32, PRECISION_VARIABLE, asked_precision
from serving.export.signature import probabilities_of

log = logging.getLogger(__name__)

#: By how much the mean AUROC on test may move, and the share of test images that are called unusual.
MOST_MOVED, MOST_UNUSUAL_MOVED = 0.001, 0.01
#: Test images asked, at most, spread over the split: answers of both differ so little that more say nothing new.
MOST_IMAGES = 2000
#: Findings with fewer test images of either class are left out.
LEAST_OF_CLASS = 5
BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionChoice:
    """The arithmetic of an export, and why; part of ``parity.json``."""

    precision: str
    why: str
    n_images: int = 0
    auroc_float32: float | None = None
    """Mean over findings, on the test images looked at."""
    auroc_bf16: float | None = None
    decisions_changed: float | None = None
    """Share of all decisions that are others in bfloat16."""
    unusual_changed: float | None = None
    """Change of the share of test images called unusual; None where the contract does not say what is typical."""


def choose_precision(
    model: keras.Model,
    contract: ServingContract,
    environment: Mapping[str, str],
    work: Path,
    has_units: bool | None = None,
) -> PrecisionChoice:
    """bfloat16 where it is faster and as good on the test images of the dataset that the model was trained on.

    Args:
        has_units: Whether the processor has units for it; None looks.
    """
    choice = _choice(model, contract, environment, work, has_bf16_units() if has_units is None else has_units)
    log.info("%s answers in %s: %s", contract.model_name, choice.precision, choice.why)
    return choice


def _choice(
    model: keras.Model, contract: ServingContract, environment: Mapping[str, str], work: Path, has_units: bool
) -> PrecisionChoice:
    if asked_precision(environment) == FLOAT32:
        return PrecisionChoice(precision=FLOAT32, why=f"{PRECISION_VARIABLE} asks for it")
    if not has_units:
        return PrecisionChoice(precision=FLOAT32, why="this processor has no units for bfloat16")
    try:
        images, labels = _test_images(contract, work)
        return compare_precisions(model, contract, images, labels)
    except (CxrError, OSError, KeyError, ValueError) as error:
        return PrecisionChoice(precision=FLOAT32, why=f"bfloat16 could not be held against test images: {error}")


def compare_precisions(
    model: keras.Model, contract: ServingContract, images: np.ndarray, labels: np.ndarray
) -> PrecisionChoice:
    """Both arithmetics on the same images.

    Args:
        images: uint8 ``(n, size, size, 1)``.
        labels: float ``(n, k)``: 0, 1 or NaN for unknown.

    Raises:
        UndefinedMetric: No finding has enough images of both classes.
    """
    exact, half = (_answers(frozen_network(model, precision), contract, images) for precision in (FLOAT32, BF16))
    before, after = (_mean_auroc(labels, answers.probabilities) for answers in (exact, half))
    thresholds = np.array([decision.threshold for decision in contract.decisions])
    changed = float(((exact.probabilities >= thresholds) != (half.probabilities >= thresholds)).mean())
    unusual = None
    if exact.is_unusual is not None and half.is_unusual is not None:
        unusual = float(half.is_unusual.mean() - exact.is_unusual.mean())
    facts: dict[str, Any] = {
        "n_images": len(images),
        "auroc_float32": before,
        "auroc_bf16": after,
        "decisions_changed": changed,
        "unusual_changed": unusual,
    }
    moved = f"the mean AUROC on {len(images)} test images is {after:.4f} in bfloat16 and {before:.4f} in float32"
    if not abs(after - before) < MOST_MOVED:
        return PrecisionChoice(precision=FLOAT32, why=f"{moved}, expected a change below {MOST_MOVED}", **facts)
    if unusual is not None and not abs(unusual) <= MOST_UNUSUAL_MOVED:
        why = f"in bfloat16 the share of test images called unusual changes by {unusual:+.3f}"
        return PrecisionChoice(
            precision=FLOAT32, why=f"{why}, expected at most {MOST_UNUSUAL_MOVED} either way", **facts
        )
    return PrecisionChoice(precision=BF16, why=f"{moved}; {100 * changed:.2f} % of decisions are others", **facts)


@dataclass(frozen=True, slots=True)
class _Answers:
    probabilities: np.ndarray
    is_unusual: np.ndarray | None


def _answers(network: FrozenNetwork, contract: ServingContract, images: np.ndarray) -> _Answers:
    logits, pooled = [], []
    for batch in plain_batches(images, BATCH):
        features, answer = (np.asarray(output) for output in network(batch))
        logits.append(answer)
        pooled.append(features.mean((1, 2)))
    fitted, unusual = contract.typicality, None
    if fitted is not None:
        far = Shape.of(fitted).log_distances(np.concatenate(pooled))
        unusual = typicality(far, fitted) < UNUSUAL_BELOW
    return _Answers(probabilities_of(np.concatenate(logits), contract), unusual)


def _mean_auroc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    aurocs = []
    for label, score in zip(labels.T, probabilities.T, strict=True):
        known = ~np.isnan(label)
        is_positive = label[known] == 1
        if min(is_positive.sum(), (~is_positive).sum()) >= LEAST_OF_CLASS:
            aurocs.append(auroc(is_positive, score[known]))
    if not aurocs:
        raise UndefinedMetric(f"no finding has {LEAST_OF_CLASS} test images of both classes")
    return float(np.mean(aurocs))


def _test_images(contract: ServingContract, work: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and targets of the test split of the dataset that the contract's model was trained on."""
    prepared = dataset_of(contract.dataset, contract.dataset_fingerprint)
    if not prepared.n_test:
        raise DataDefect(f"dataset {contract.dataset} has no test images")
    work.mkdir(parents=True, exist_ok=True)
    stored = stored_split(prepared, "test", contract.findings, work)
    places = np.unique(np.linspace(0, len(stored.rows) - 1, min(len(stored.rows), MOST_IMAGES)).round().astype(int))
    return stored.images[places], stored.labels[places]
