"""Change since the last validated version of a dataset, as tables for the suites ``manifest_drift`` and ``_counts``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cxr_tasks.statistics.distances import chance_psi, jensen_shannon_distance, merged_bins, population_stability_index

#: Numbers are compared in about this many bins of equal frequency in the last version.
_N_BINS = 10
DRIFT_COLUMNS = ("property", "before", "now", "psi", "jensen_shannon", "raw_psi")
COUNT_COLUMNS = ("count_of", "before", "now", "ratio")


def drift_table(reference: Mapping[str, Any], profile: Mapping[str, Any]) -> pd.DataFrame:
    """One row per label, word and statistic that both profiles hold: how far its distribution has moved.

    ``psi`` and ``jensen_shannon`` have taken off what two samples of one distribution reach once in a thousand times;
    patients count as the sample, since images of one patient resemble each other. ``raw_psi`` is as measured.
    ``before`` and ``now`` are short descriptions: shares of the commonest words, or quartiles.
    """
    n_before, n_now = (int(side["counts"]["patients"]) for side in (reference, profile))
    rows = []
    for kind, prefix in (("labels", "label "), ("words", "")):
        for name in _shared(reference[kind], profile[kind]):
            words = sorted({*reference[kind][name], *profile[kind][name]})
            before, now = (np.array([side[kind][name].get(word, 0) for word in words]) for side in (reference, profile))
            row = _distances(before, now, n_before, n_now)
            rows.append([prefix + name, _shares(words, before), _shares(words, now), *row])
    for name in _shared(reference["statistics"], profile["statistics"]):
        then, today = reference["statistics"][name], profile["statistics"][name]
        if then["edges"] != today["edges"]:
            continue  # another release measured it otherwise: the two cannot be compared bin by bin
        before, now = (np.array([*side["counts"], side["n_unknown"]]) for side in (then, today))
        row = _distances(*_merged_known(before, now), n_before, n_now)
        rows.append([name, _quartiles(then), _quartiles(today), *row])
    return pd.DataFrame(rows, columns=list(DRIFT_COLUMNS))


def count_table(reference: Mapping[str, Any], profile: Mapping[str, Any]) -> pd.DataFrame:
    """One row per count that the last version was above 0 in: before, now and their ratio."""
    rows = [
        [name, before, profile["counts"].get(name, 0), round(profile["counts"].get(name, 0) / before, 4)]
        for name, before in reference["counts"].items()
        if before
    ]
    return pd.DataFrame(rows, columns=list(COUNT_COLUMNS))


def verdict_of(drift: pd.DataFrame, *, some: float, strong: float) -> str:
    """``none``, ``some`` or ``strong``, by the largest PSI beyond chance."""
    largest = float(drift["psi"].max()) if len(drift) else 0.0
    return "strong" if largest > strong else "some" if largest > some else "none"


def _shared(known: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    return [name for name in known if name in others]


def _merged_known(before: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bins merged by quantiles of ``before``; the last one, of unknown values, stays by itself."""
    if not before[:-1].sum() or not now[:-1].sum():
        return tuple(np.array([side[:-1].sum(), side[-1]]) for side in (before, now))  # type: ignore[return-value]
    known_before, known_now = merged_bins(before[:-1], now[:-1], n_bins=_N_BINS)
    return np.append(known_before, before[-1]), np.append(known_now, now[-1])


def _distances(before: np.ndarray, now: np.ndarray, n_before: int, n_now: int) -> tuple[float, float, float]:
    """PSI and Jensen-Shannon distance beyond chance, and PSI as measured."""
    raw = population_stability_index(before, now)
    used = int(((before > 0) | (now > 0)).sum())
    chance = chance_psi(used, n_before, n_now)
    # For small changes the divergence in bits is PSI / (8 ln 2): what chance does to one it does to the other.
    divergence = jensen_shannon_distance(before, now) ** 2 - chance / (8 * np.log(2))
    return round(max(raw - chance, 0.0), 4), round(float(np.sqrt(max(divergence, 0.0))), 4), round(raw, 4)


def _shares(words: list[str], counts: np.ndarray) -> str:
    order = np.argsort(-counts, kind="stable")[:3]
    total = max(int(counts.sum()), 1)
    return ", ".join(f"{words[place]} {counts[place] / total:.3g}" for place in order if counts[place])


def _quartiles(statistic: Mapping[str, Any]) -> str:
    """Quartiles as the edges of the bins they lie in."""
    counts, edges = np.array(statistic["counts"]), statistic["edges"]
    if not counts.sum():
        return "unknown"
    cumulative = np.cumsum(counts) / counts.sum()
    places = [min(int(np.searchsorted(cumulative, share)), len(edges) - 1) for share in (0.25, 0.5, 0.75)]
    return "quartiles " + ", ".join(f"{edges[place]:.3g}" for place in places)
