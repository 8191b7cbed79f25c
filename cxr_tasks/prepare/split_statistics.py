"""Statistics of a prepared dataset: what each split holds, and how its pixels are distributed."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd

from cxr_tasks.contracts.dataset_files import LabelCounts, SplitStatistics
from cxr_tasks.contracts.labels import LabelState, findings_of, label_column

HISTOGRAM_BINS = 32
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


class PixelProfile:
    """Running statistics over images, one at a time, so that no split has to fit in memory."""

    def __init__(self) -> None:
        self._histogram = np.zeros(256, np.int64)
        self._means: list[float] = []
        self._deviations: list[float] = []

    def seen(self, image: np.ndarray) -> np.ndarray:
        """``image`` (uint8 of any shape) itself, counted on its way."""
        self._histogram += np.bincount(image.ravel(), minlength=256)
        self._means.append(float(image.mean()) / 255)
        self._deviations.append(float(image.std()) / 255)
        return image

    def to_dict(self) -> dict[str, Any]:
        """Grey values on the [0, 1] scale: mean, deviation, quantiles over all pixels, and spreads over images."""
        n_pixels = int(self._histogram.sum())
        if not n_pixels:
            return {"n_images": 0}
        greys = np.arange(256) / 255
        share = self._histogram / n_pixels
        mean = float(np.sum(share * greys))
        cumulative = np.cumsum(share)
        at = np.minimum(np.searchsorted(cumulative, QUANTILES), 255)
        return {
            "n_images": len(self._means),
            "mean": mean,
            "deviation": float(np.sqrt(np.sum(share * (greys - mean) ** 2))),
            "quantiles": {f"{q:g}": float(greys[place]) for q, place in zip(QUANTILES, at, strict=True)},
            "histogram": share.reshape(HISTOGRAM_BINS, -1).sum(axis=1).tolist(),
            "image_means": {
                "mean": float(np.mean(self._means)),
                "deviation": float(np.std(self._means)),
                "histogram": (np.histogram(self._means, HISTOGRAM_BINS, (0, 1))[0] / len(self._means)).tolist(),
            },
            "image_deviations": {
                "mean": float(np.mean(self._deviations)),
                "deviation": float(np.std(self._deviations)),
            },
        }


def split_statistics(index: pd.DataFrame, vocabulary: str, pixels: PixelProfile) -> SplitStatistics:
    """Counts and rates of one split: images, patients, labels by state, view, sex, sub-label, age, and pixels."""
    ages = index["age_years"].dropna()
    return {
        "n_images": len(index),
        "n_patients": int(index["patient_key"].nunique()),
        "labels": {finding: _label_counts(index[label_column(finding)]) for finding in findings_of(vocabulary)},
        "view": _counts(index["view"]),
        "sex": _counts(index["sex"]),
        "source": _counts(index["source"]),
        "sub_label": _counts(index["sub_label"]),
        "age_years": {
            "n_known": len(ages),
            "mean": float(ages.mean()) if len(ages) else None,
            "min": float(ages.min()) if len(ages) else None,
            "max": float(ages.max()) if len(ages) else None,
        },
        "n_boxes": int((index["boxes"] != "[]").sum()),
        "pixels": pixels.to_dict(),
    }


def _label_counts(states: pd.Series) -> LabelCounts:
    counts = {str(state): int((states == str(state)).sum()) for state in LabelState}
    n_known = counts["positive"] + counts["negative"]
    rate = counts["positive"] / n_known if n_known else None
    return cast(LabelCounts, {**counts, "positive_rate": rate})


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(name): int(n) for name, n in values.value_counts().sort_index().items()}
