"""Candidates held against each other by their scores on the same validation images. Plain numpy; no model is needed."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.installation.storage.files import is_of_the_system, replaced_file
from cxr_tasks.statistics.auroc_intervals import auroc_interval
from cxr_tasks.statistics.delong import influences, placements
from cxr_tasks.statistics.intervals import Interval, logit_scale_interval, z_of


@dataclass(frozen=True, slots=True)
class ValidationLogits:
    """What a kept model says of the validation split, in stored order."""

    logits: np.ndarray
    """float32 ``(n_views, n, k)``: the images as they are, then any stressed views of them."""
    targets: np.ndarray
    """float32 ``(n, k)``: 0, 1 or NaN for unknown."""
    patients: np.ndarray
    """int ``(n,)``: equal for images of one patient; says nothing else of who it is."""

    def write(self, path: Path) -> None:
        with replaced_file(path) as aside, open(aside, "wb") as stream:
            np.savez_compressed(stream, logits=self.logits, targets=self.targets, patients=self.patients)

    @classmethod
    def read(cls, path: Path) -> ValidationLogits:
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(stored["logits"], stored["targets"], stored["patients"])
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            if is_of_the_system(error):
                raise
            raise DataDefect(f"{path}: expected logits of a validation split, found {error}") from error

    def plain(self) -> ValidationLogits:
        """The images as they are, without the stressed views."""
        return ValidationLogits(self.logits[:1], self.targets, self.patients)

    def is_about_the_same(self, other: ValidationLogits) -> bool:
        """Whether both speak of the same images and labels, so that they can be compared pair by pair."""
        return (
            self.logits.shape == other.logits.shape
            and np.array_equal(self.targets, other.targets, equal_nan=True)
            and np.array_equal(self.patients, other.patients)
        )


@dataclass(frozen=True, slots=True)
class MeanAuroc:
    """A mean AUROC with its interval and each patient's part in its error."""

    value: float
    lower: float | None
    upper: float | None
    n_findings: int
    """Findings in the mean."""
    method: str
    by_patient: np.ndarray
    """float, one per patient; their squares sum to the variance of ``value``."""


def mean_auroc_of(kept: ValidationLogits, spec: EvaluateSpec) -> MeanAuroc:
    """The mean AUROC over the findings that are assessable (``spec.min_positives``), as epochs are compared by.

    With stressed views: the mean of that on the images as they are and of that on changed ones. In a split so small
    that no finding is assessable, those with both classes count, and there may be no interval.

    The interval is DeLong's with the errors of findings, views and images of one patient added up before they are
    squared (Obuchowski, Biometrics 53:567-578, 1997), made on the logit scale.

    Raises:
        DataDefect: No finding has both a positive and a negative image.
    """
    columns = _columns(kept.targets, spec.min_positives)
    n_views, shares = len(kept.logits), _shares(len(kept.logits))
    value, has_interval = 0.0, True
    by_patient = np.zeros(int(kept.patients.max()) + 1)
    bounds = np.zeros(2)
    for column in columns:
        known = ~np.isnan(kept.targets[:, column])
        is_positive = kept.targets[known, column] == 1
        for view in range(n_views):
            share = shares[view] / len(columns)
            scores = kept.logits[view, known, column].astype(np.float64)
            patients = kept.patients[known]
            if min(len(np.unique(patients[of_class])) for of_class in (is_positive, ~is_positive)) < 2:
                value, has_interval = value + share * _auroc(is_positive, scores), False
                continue
            auroc, each = influences(is_positive, scores, patients)
            value += share * auroc
            by_patient += share * np.bincount(patients, weights=each, minlength=len(by_patient))
            interval = auroc_interval(is_positive, scores, spec.confidence, patients)
            bounds += share * np.array([interval.lower, interval.upper])
    if not has_interval:
        return MeanAuroc(
            value, None, None, len(columns), "no interval: images of one patient of a class only", by_patient
        )
    interval = _interval(value, float((by_patient**2).sum()), bounds, spec.confidence)
    return MeanAuroc(value, interval.lower, interval.upper, len(columns), interval.method, by_patient)


def difference(one: MeanAuroc, other: MeanAuroc, confidence: float) -> Interval:
    """``one`` less ``other``, measured on the same images, with the paired interval."""
    value = one.value - other.value
    reach = z_of(confidence) * math.sqrt(float(((one.by_patient - other.by_patient) ** 2).sum()))
    return Interval(value, value - reach, value + reach, f"paired DeLong {confidence * 100:g} % by patient")


def _columns(targets: np.ndarray, min_positives: int) -> list[int]:
    counts = np.minimum((targets == 1).sum(axis=0), (targets == 0).sum(axis=0))
    for least in (min_positives, 2, 1):
        columns = np.flatnonzero(counts >= least)
        if columns.size:
            return [int(column) for column in columns]
    raise DataDefect(f"validation split, {len(targets)} images: expected a finding with both classes, found none")


def _shares(n_views: int) -> list[float]:
    """Half for the images as they are, the other half shared by the stressed views."""
    return [1.0] if n_views == 1 else [0.5, *[0.5 / (n_views - 1)] * (n_views - 1)]


def _auroc(is_positive: np.ndarray, scores: np.ndarray) -> float:
    return float(placements(is_positive, scores)[0].mean())


def _interval(value: float, variance: float, bounds: np.ndarray, confidence: float) -> Interval:
    if variance <= 0.0 or not 0.0 < value < 1.0:
        return Interval(value, float(bounds[0]), float(bounds[1]), "mean of the findings' own bounds, no variance")
    return logit_scale_interval(value, variance, confidence, f"DeLong {confidence * 100:g} % by patient, logit scale")
