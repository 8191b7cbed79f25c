"""How well typicality tells pictures that a model was not trained for, with intervals: part of ``metrics.json``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.contracts.serving_contract import UNUSUAL_BELOW, TypicalityFit
from cxr_tasks.datasets.load import StoredSplit
from cxr_tasks.evaluate.typicality.strange import ALTERED, MADE, altered, made
from cxr_tasks.sources.base import about_source
from cxr_tasks.statistics.auroc_intervals import auroc_interval
from cxr_tasks.statistics.patients import patient_numbers
from cxr_tasks.statistics.shares import Share
from cxr_tasks.statistics.typicality import Shape, fit, typicality

log = logging.getLogger(__name__)

#: Images of a split that are looked at, at most, spread over all of them: of more, mean and variances hardly move.
MOST_OF_SPLIT = 4000
#: Pictures of each strange kind, at most, and X-rays of test held against them.
MOST_STRANGE = 200

Features = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTypicality:
    """What was fitted, and what it tells apart."""

    fitted: TypicalityFit | None
    reason: str = ""
    """Why nothing could be fitted; exactly when ``fitted`` is None."""
    records: tuple[MetricRecord, ...] = ()
    """``unusual_test``: the share of test images that are called unusual. Of every kind of ``STRANGE_PICTURES``:
    ``<kind>``: AUROC of the distance between X-rays of test and such pictures; ``unusual_<kind>``: the share of those
    that are called unusual."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Distances by one fit, and what is known of the X-rays of test."""

    fitted: TypicalityFit
    features: Features
    confidence: float

    def distances(self, images: np.ndarray) -> np.ndarray:
        """Log distance of each of ``images`` uint8 ``(n, size, size, 1)`` to what was trained on, float ``(n,)``."""
        return Shape.of(self.fitted).log_distances(self.features(images))

    def share(self, name: str, distances: np.ndarray, keys: np.ndarray) -> MetricRecord:
        """The share of images that are called unusual, by their log ``distances``, float ``(n,)``, and their patients'
        ``keys``, ``(n,)``."""
        is_unusual = typicality(distances, self.fitted) < UNUSUAL_BELOW
        share = Share.of(is_unusual, patient_numbers(keys))
        span = share.interval(self.confidence)
        return MetricRecord(
            name=f"unusual_{name}", finding="", split="test", value=span.value, lower=span.lower, upper=span.upper,
            n=share.n, n_positive=share.hits, n_patients=share.n_patients, method=span.method,
        )  # fmt: skip

    def auroc(
        self, name: str, usual: tuple[np.ndarray, np.ndarray], strange: tuple[np.ndarray, np.ndarray]
    ) -> MetricRecord:
        """How well distances tell strange pictures from X-rays; each side is log distances, float ``(n,)``, and the
        keys of their patients, ``(n,)``."""
        score, keys = (np.concatenate(pair) for pair in zip(usual, strange, strict=True))
        is_strange = np.arange(len(score)) >= len(usual[0])
        counts: dict[str, Any] = {
            "n": len(score),
            "n_positive": int(is_strange.sum()),
            "n_patients": len(np.unique(keys)),
        }
        try:
            span = auroc_interval(is_strange, score, self.confidence, keys)
        except (UndefinedMetric, ValueError) as error:
            return MetricRecord(name=name, finding="", split="test", value=None, reason=str(error), **counts)
        return MetricRecord(
            name=name, finding="", split="test", value=span.value, lower=span.lower, upper=span.upper,
            method=span.method, **counts,
        )  # fmt: skip


def measure_typicality(
    features: Features, stored: dict[str, StoredSplit], source: str, confidence: float
) -> MeasuredTypicality:
    """Fitted on training and validation, measured on test against what is made of it and against what is no X-ray.

    Args:
        features: Of images uint8 ``(n, size, size, 1)`` as float ``(n, c)``: what the network's head is given.
        stored: ``train``, ``validation`` and ``test``.
        source: Of the dataset: drawn X-rays are nothing strange to a model that learnt from them.
    """
    looked_at = {name: _spread(len(split.rows), MOST_OF_SPLIT) for name, split in stored.items()}
    try:
        fitted = fit(*(features(stored[name].images[looked_at[name]]) for name in ("train", "validation")))
    except UndefinedMetric as error:
        log.warning("no typicality: %s; the version will be served without it", error)
        return MeasuredTypicality(fitted=None, reason=str(error))
    judge, test = Judge(fitted, features, confidence), stored["test"]
    keys = test.rows["patient_key"].to_numpy(str)[looked_at["test"]]
    usual = judge.distances(test.images[looked_at["test"]])
    records = [judge.share("test", usual, keys)]
    held_against = _spread(len(keys), MOST_STRANGE)
    for kind in kinds_for(source):
        strange, whose = _pictures(kind, test, looked_at["test"][held_against])
        distance = judge.distances(strange), whose
        records += [
            judge.auroc(kind, (usual[held_against], keys[held_against]), distance),
            judge.share(kind, *distance),
        ]
    return MeasuredTypicality(fitted=fitted, records=tuple(records))


def kinds_for(source: str) -> Sequence[str]:
    """Kinds of pictures that are strange to a model that learnt from X-rays of ``source``."""
    return [kind for kind in (*ALTERED, *MADE) if kind != "phantoms" or not about_source(source).is_drawn]


def _pictures(kind: str, test: StoredSplit, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    images = test.images[chosen]
    if kind in ALTERED:
        return altered(kind, images), test.rows["patient_key"].to_numpy(str)[chosen]
    return made(kind, len(chosen), images.shape[1])


def _spread(n: int, most: int) -> np.ndarray:
    """Places of at most ``most`` of ``n`` images, evenly spread over them; the same each time."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)) if n else np.arange(0)
