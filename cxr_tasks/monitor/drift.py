"""How far what was served lies from the reference: one row per score, decision and property of the pictures.

A row *drifts* where it is both beyond chance (its p-value after Benjamini and Hochberg over all rows) and large enough
to matter: with many images any difference is beyond chance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from cxr_tasks.monitor.reference import FLAGS, Reference
from cxr_tasks.predictions.columns import IMAGE_STATISTICS, decision_column, probability_column
from cxr_tasks.statistics.benjamini_hochberg import benjamini_hochberg
from cxr_tasks.statistics.distances import chance_psi, jensen_shannon_distance, population_stability_index
from cxr_tasks.statistics.two_samples import kolmogorov_smirnov, two_shares

if TYPE_CHECKING:
    import pandas as pd

#: Fewer images than this say too little.
MIN_IMAGES = 200
N_BINS = 10
#: PSI beyond chance from which a distribution has moved enough to matter (Siddiqi's "some change").
LARGE_PSI = 0.1
#: A share has moved enough to matter when it changes by this much of itself and by this much of all images.
LARGE_RATIO, LARGE_POINTS = 0.25, 0.01
Kind = Literal["score", "decision", "picture", "typicality"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRow:
    """One comparison. Distributions have ``psi`` and ``jensen_shannon``, shares have neither."""

    name: str
    kind: Kind
    finding: str
    before: str
    """The reference in words: quartiles, or a share."""
    now: str
    statistic: float
    """Distance of Kolmogorov and Smirnov; difference of shares."""
    psi: float | None
    """Beyond what chance does."""
    jensen_shannon: float | None
    p: float
    adjusted_p: float
    is_large: bool
    drifts: bool

    @property
    def said(self) -> str:
        """The change in words."""
        kind = "" if self.psi is None else "quartiles "
        return f"{kind}{self.before} before, {self.now} now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """All comparisons of one window; none, and ``reason``, where there are too few images."""

    n_images: int
    alpha: float
    rows: tuple[DriftRow, ...]
    reason: str = ""

    @property
    def drifting(self) -> tuple[DriftRow, ...]:
        """The rows that drift, the least probable first."""
        return tuple(sorted((row for row in self.rows if row.drifts), key=lambda row: (row.adjusted_p, -row.statistic)))

    @property
    def verdict(self) -> Literal["too few", "none", "drift"]:
        return "too few" if self.reason else "drift" if self.drifting else "none"


def drift_of(reference: Reference, served: pd.DataFrame, alpha: float) -> Drift:
    """Compare ``served`` (columns of the prediction log, one row per picture) with the reference.

    Args:
        alpha: The chance of any false alarm that this look may take.
    """
    n = len(served)
    if n < MIN_IMAGES:
        reason = f"{n} images were served; at least {MIN_IMAGES} are needed to say anything"
        return Drift(n_images=n, alpha=alpha, rows=(), reason=reason)
    deviations = [*_distributions(reference, served), *_shares(reference, served)]
    adjusted = benjamini_hochberg([deviation.p for deviation in deviations])
    rows = tuple(
        _judged(deviation, p_all, deviation.is_large and p_all <= alpha)
        for deviation, p_all in zip(deviations, adjusted, strict=True)
    )
    return Drift(n_images=n, alpha=alpha, rows=rows)


def _judged(row: DriftRow, adjusted_p: float, drifts: bool) -> DriftRow:
    return replace(row, adjusted_p=adjusted_p, drifts=drifts)


def _distributions(reference: Reference, served: pd.DataFrame) -> list[DriftRow]:
    rows = []
    for finding in reference.findings:
        name = probability_column(finding)
        before = reference.rising[name]
        rows.append(_distribution("score", finding, f"score of {finding}", before, served[name], reference))
    if reference.has_statistics:
        aspect = served["width_px"] / served["height_px"].where(served["height_px"] > 0)
        columns = {name: served[name] for name in IMAGE_STATISTICS} | {"aspect": aspect}
        rows += [
            _distribution("picture", "", name, reference.rising[name], values, reference)
            for name, values in columns.items()
        ]
    if "typicality" in served and served["typicality"].notna().any() and reference.n_validation > 1:
        # A share of validation's images, so without drift every value is as likely as another.
        even = (np.arange(reference.n_validation) + 0.5) / reference.n_validation
        rows.append(_distribution("typicality", "", "typicality", even, served["typicality"], reference))
    return [row for row in rows if row is not None]


def _distribution(
    kind: Kind, finding: str, name: str, before: np.ndarray, served: pd.Series, reference: Reference
) -> DriftRow | None:
    now = served.to_numpy(float)
    now = now[~np.isnan(now)]
    if not len(before) or len(now) < MIN_IMAGES // 2:
        return None
    worth = reference.worth
    distance, p = kolmogorov_smirnov(before, now, len(before) * worth, len(now) * worth)
    edges = np.unique(np.quantile(before, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, sample, side="right"), minlength=len(edges) + 1) for sample in (before, now)
    ]
    by_chance = chance_psi(len(edges) + 1, *(max(round(len(sample) * worth), 1) for sample in (before, now)))
    psi = max(population_stability_index(*counts) - by_chance, 0.0)
    return DriftRow(
        name=name, kind=kind, finding=finding, before=_quartiles(before), now=_quartiles(now), statistic=distance,
        psi=psi, jensen_shannon=jensen_shannon_distance(*counts), p=p, adjusted_p=1.0, is_large=psi >= LARGE_PSI,
        drifts=False,
    )  # fmt: skip


def _shares(reference: Reference, served: pd.DataFrame) -> list[DriftRow]:
    rows = [
        _share("decision", finding, f"share called {finding}", reference.table[decision_column(finding)],
               served[decision_column(finding)][served[probability_column(finding)].notna()], reference.worth)
        for finding in reference.findings
    ]  # fmt: skip
    if reference.has_statistics:
        for word in FLAGS:
            before, now = (_has_word(table["flags"], word) for table in (reference.table, served))
            rows.append(_share("picture", "", word, before, now, reference.worth))
    refused = served["refused"].to_numpy(bool)
    rows.append(_share("picture", "", "refused", np.zeros(reference.n, bool), refused, reference.worth))
    return rows


def _has_word(flags: pd.Series, word: str) -> np.ndarray:
    places, words = flags.factorize()
    return np.array([word in str(listed).split(",") for listed in words], bool)[places]


def _share(kind: Kind, finding: str, name: str, before: ArrayLike, now: ArrayLike, worth: float) -> DriftRow:
    (k_before, n_before), (k_now, n_now) = (_hits(sample) for sample in (before, now))
    share_before, share_now = k_before / n_before, k_now / n_now
    points = abs(share_now - share_before)
    is_large = points >= LARGE_POINTS and points >= LARGE_RATIO * min(share_before, share_now)
    return DriftRow(
        name=name, kind=kind, finding=finding, before=f"{share_before:.1%}", now=f"{share_now:.1%}",
        statistic=share_now - share_before, psi=None, jensen_shannon=None,
        p=two_shares(k_before, n_before, k_now, n_now, worth), adjusted_p=1.0, is_large=is_large, drifts=False,
    )  # fmt: skip


def _hits(values: ArrayLike) -> tuple[int, int]:
    array = np.asarray(values, bool)
    return int(array.sum()), max(len(array), 1)


def _quartiles(values: np.ndarray) -> str:
    return ", ".join(f"{quantile:.3g}" for quantile in np.quantile(values, (0.25, 0.5, 0.75)))
