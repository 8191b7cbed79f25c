"""Patients drawn with replacement, each with all their images: the draws behind every bootstrap interval."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.statistics.patients import patient_numbers

#: Most elements of one block of weights: 32 MB of float32.
BLOCK = 8_000_000


@dataclass(frozen=True, slots=True)
class Draws:
    """Resamples of a set of patients; the same patients, number and seed give the same draws, whatever is measured.

    So two models, two findings and their mean can be compared resample by resample.
    """

    keys: np.ndarray
    """The patients, sorted and distinct."""
    samples: int
    seed: int

    @classmethod
    def of(cls, patient_key: np.ndarray, samples: int, seed: int) -> Draws:
        """Draws of the patients of images; ``patient_key`` has shape ``(n,)``."""
        return cls(np.unique(np.asarray(patient_key, dtype=str)), samples, seed)

    def places(self, patient_key: np.ndarray) -> np.ndarray:
        """Row in a block of each image's patient, int ``(n,)``."""
        return np.searchsorted(self.keys, np.asarray(patient_key, dtype=str))

    def blocks(self, n_rows: int) -> Iterator[np.ndarray]:
        """How often each patient is drawn, float32 ``(n_patients, b)``, until all resamples have come.

        ``b`` is chosen so that an array of ``(n_rows, b)`` stays within ``BLOCK``.
        """
        counts = _counts(len(self.keys), self.samples, self.seed)
        size = max(1, BLOCK // max(n_rows, len(self.keys), 1))
        for start in range(0, self.samples, size):
            yield counts[:, start : start + size].astype(np.float32, order="C")

    def values(self, statistic: Callable[[np.ndarray], np.ndarray], n_rows: int) -> np.ndarray:
        """``statistic`` of every resample; it takes a block ``(n_patients, b)`` and gives ``(b,)`` or ``(s, b)``."""
        return np.concatenate([statistic(block) for block in self.blocks(n_rows)], axis=-1)


@functools.lru_cache(maxsize=2)
def _counts(n_patients: int, samples: int, seed: int) -> np.ndarray:
    """uint8 ``(n_patients, samples)``: a patient is drawn once per resample on average, and never 256 times (that has
    a chance below 10^-490)."""
    rng = np.random.default_rng(seed)
    counts = np.empty((samples, n_patients), np.uint8)
    for row in counts:
        row[:] = np.bincount(rng.integers(0, n_patients, n_patients), minlength=n_patients)
    counts = np.ascontiguousarray(counts.T)
    counts.flags.writeable = False
    return counts


def patient_sums(places: np.ndarray, n_patients: int, columns: Sequence[np.ndarray]) -> np.ndarray:
    """Sums of each column ``(n,)`` over the images of each patient, float64 ``(s, n_patients)``.

    :func:`drawn_sums` of it is then the sum of each column over the images drawn, however many a patient has.
    """
    return np.stack([np.bincount(places, weights=column, minlength=n_patients) for column in columns])


def drawn_sums(sums: np.ndarray, block: np.ndarray) -> np.ndarray:
    """:func:`patient_sums` ``(..., s, n_patients)`` over each resample of ``block``, ``(..., s, b)``.

    In the block's own precision: single is four times as fast for resamples, whose bounds need no seventh digit.
    """
    return sums.astype(block.dtype, copy=False) @ block


def percentile_bounds(values: np.ndarray, n_patients: int, confidence: float) -> tuple[float, float]:
    """Percentile bounds of the resamples' ``values`` ``(samples,)``, those without a value (NaN) left out.

    Raises:
        UndefinedMetric: More than half of the resamples have no value.
    """
    known = values[~np.isnan(values)]
    if len(known) * 2 < len(values):
        raise UndefinedMetric(
            f"{len(values) - len(known)} of {len(values)} resamples of {n_patients} patients have no value"
        )
    tail = (1.0 - confidence) / 2.0
    lower, upper = np.quantile(known, [tail, 1.0 - tail])
    return float(lower), float(upper)


def clustered_variance(contributions: np.ndarray, patient_key: np.ndarray) -> float:
    """The variance, 0 or more, of a sum of ``contributions`` ``(n,)`` of which those of one patient go together;
    ``patient_key`` ``(n,)`` tells patients apart."""
    return float((np.bincount(patient_numbers(patient_key), weights=contributions) ** 2).sum())
