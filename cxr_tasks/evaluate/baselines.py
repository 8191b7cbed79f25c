"""Trivial baselines: what a model must beat before its number means anything.

A ridge regression on 32x32 pixels knows no shape finer than a lung; the aspect ratio of the file knows no pixel at all,
and what it scores is the data set's own leak. Both are fitted on the training split and never served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxr_tasks.contracts.evaluation.evaluation import Baseline
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.measures import delong_record
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.scores import auroc

SIDE_PX = 32
#: Images whose pixels are in double precision at a time.
PART = 8192
ASSESSED = ("validation", "test")


@dataclass(frozen=True, slots=True)
class BaselineInputs:
    """What the baselines see of one split."""

    thumbnails: np.ndarray
    """float32 ``(n, 1024)``, from :func:`thumbnails`."""
    labels: np.ndarray
    """float ``(n, k)``: 0, 1 or NaN for unknown."""
    rows: pd.DataFrame
    """The index's rows, in the same order."""


def thumbnails(images: np.ndarray) -> np.ndarray:
    """``images`` uint8 ``(n, size, size, 1)`` as float32 ``(n, 32 * 32)`` in [0, 1], each cell the mean of its area."""
    from PIL import Image

    small = np.empty((len(images), SIDE_PX * SIDE_PX), np.float32)
    for place, image in enumerate(images):
        reduced = Image.fromarray(image[..., 0]).resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
        small[place] = np.asarray(reduced, np.float32).ravel() / 255.0
    return small


class Ridge:
    """Ridge regressions on one set of images; what depends on the pixels alone is computed once for all findings.

    The penalty is the mean eigenvalue of the Gram matrix of the centred pixels, fixed beforehand: choosing it on a
    split would make the baseline one more trained model.
    """

    def __init__(self, train_x: np.ndarray):
        """``train_x`` float ``(n, d)``."""
        self.train_x, self.centre = train_x, train_x.mean(axis=0)
        gram = np.zeros((train_x.shape[1],) * 2)
        for rows in self._parts():
            gram += rows.T @ rows
        penalty = max(float(np.trace(gram)) / len(gram), 1e-12)
        self.inverse = np.linalg.inv(gram + penalty * np.eye(len(gram)))

    def _parts(self) -> Iterator[np.ndarray]:
        """Centred pixels in double precision, a part of the images at a time."""
        for start in range(0, len(self.train_x), PART):
            yield (self.train_x[start : start + PART] - self.centre).astype(np.float64)

    def __call__(self, train_y: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
        """Scores ``(n,)`` of each of ``others`` ``(n, d)`` by the regression of ``train_y`` (0 or 1)."""
        centred, moment = train_y - train_y.mean(), np.zeros(len(self.inverse))
        for number, rows in enumerate(self._parts()):
            moment += rows.T @ centred[number * PART : (number + 1) * PART]
        weights = self.inverse @ moment
        return [(features - self.centre) @ weights for features in others]


def oriented(train_value: np.ndarray, train_y: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """One number per image as a score, turned so that it ranks the training split right way up."""
    sign = 1.0 if auroc(train_y == 1.0, train_value) >= 0.5 else -1.0
    return [sign * ratios for ratios in others]


def assess_baselines(
    splits: Mapping[str, BaselineInputs], findings: Sequence[str], spec: EvaluateSpec
) -> tuple[Baseline, ...]:
    """Every baseline with its AUROC records on validation and test.

    Args:
        splits: Of train, validation and test.
    """
    ratios = {split: inputs.rows["aspect_ratio"].to_numpy(float) for split, inputs in splits.items()}
    pixels = {split: inputs.thumbnails for split, inputs in splits.items()}
    shared: dict[bytes, Ridge] = {}

    def ridge(known: np.ndarray, train_x: np.ndarray, *rest: np.ndarray) -> list[np.ndarray]:
        """Findings that are known for the same images share what depends on pixels alone."""
        key = known.tobytes()
        if key not in shared:
            shared.clear()
            shared[key] = Ridge(train_x)
        return shared[key](*rest)

    baselines: dict[str, tuple[str, dict[str, np.ndarray], Callable[..., list[np.ndarray]]]] = {
        "ridge_32px": ("Ridge regression on 32 x 32 pixels, fitted on train", pixels, ridge),
        "aspect_ratio": (
            "Aspect ratio of the file alone (sees no pixel)", ratios, lambda known, *values: oriented(*values),
        ),
    }  # fmt: skip
    assessed = []
    for name, (description, values, fitted) in baselines.items():
        records = []
        for place, finding in enumerate(findings):
            records += _records((place, finding), splits, values, fitted, spec)
        assessed.append(Baseline(name=name, description=description, metrics=tuple(records)))
    return tuple(assessed)


def _records(
    output: tuple[int, str],
    splits: Mapping[str, BaselineInputs],
    values: Mapping[str, np.ndarray],
    fitted: Callable[..., list[np.ndarray]],
    spec: EvaluateSpec,
) -> list[MetricRecord]:
    place, finding = output
    target = {split: inputs.labels[:, place] for split, inputs in splits.items()}
    known = {split: ~np.isnan(labels) for split, labels in target.items()}
    of_train, train_target = values["train"][known["train"]], target["train"][known["train"]].astype(np.float64)
    if len(np.unique(train_target)) < 2:
        return [_undefined(finding, split, "train holds one class only") for split in ASSESSED]
    scores = fitted(known["train"], of_train, train_target, *(values[split][known[split]] for split in ASSESSED))
    records = []
    for split, score in zip(ASSESSED, scores, strict=True):
        rows = splits[split].rows[known[split]]
        scored = Scored(
            finding=finding,
            split=split,
            is_positive=target[split][known[split]] == 1.0,
            logit=np.asarray(score, np.float64),
            patient_key=rows["patient_key"].to_numpy(str),
            image_id=rows["image_id"].to_numpy(str),
            n_unknown=int((~known[split]).sum()),
        )
        reason = scored.too_few(spec.min_positives)
        records.append(_undefined(finding, split, reason) if reason else delong_record(scored, spec))
    return records


def _undefined(finding: str, split: str, reason: str) -> MetricRecord:
    return MetricRecord(name="auroc", finding=finding, split=split, value=None, n=0, reason=f"not assessable: {reason}")
