"""Intervals of 14 findings on 25,596 images (the official test split of NIH): DeLong against its own definition, and
resampled patients against scikit-learn, one resample after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np

from cxr_tasks.statistics.delong import delong
from cxr_tasks.statistics.resampling import Draws
from cxr_tasks.statistics.scores import Ranking, auroc_of
from tests.benchmarks.measure import Row, Setting, compare, in_turns

N_IMAGES, N_PATIENTS, N_FINDINGS = 25_596, 2_797, 14
SAMPLES = 2000
MOST_DELONG_S = 2.0
#: Most elements of one block of pairs: 64 MB.
PAIRS = 8_000_000


def run(setting: Setting) -> list[Row]:
    n = 3_000 if setting.is_quick else N_IMAGES
    rng = np.random.default_rng(14)
    patient = rng.integers(0, N_PATIENTS, n)
    findings = []
    for prevalence in np.geomspace(0.003, 0.24, N_FINDINGS):
        positive = rng.random(n) < prevalence
        findings.append((positive, rng.normal(size=n) + positive))
    require_equal(findings)
    n_slow = 5
    sides = {
        "delong s": lambda: on_one_core(lambda: seconds(lambda: [delong(*one) for one in findings])),
        "clustered s": lambda: on_one_core(lambda: seconds(lambda: [delong(*one, patient) for one in findings])),
        "definition s": lambda: seconds(lambda: [by_definition(*one) for one in findings]),
        "resamples/s": lambda: SAMPLES / seconds(lambda: resampled(*findings[-1], patient, SAMPLES)),
        "one by one/s": lambda: n_slow / seconds(lambda: one_by_one(*findings[-1], patient, n_slow)),
    }
    found = in_turns(sides, setting.repetitions)
    return [
        compare(
            "evaluate: DeLong, seconds",
            ours=found["delong s"],
            baseline=[MOST_DELONG_S] * len(found["delong s"]),
            unit="s",
            goal=1.0,
            less_is_better=True,
            ours_is=f"AUROC and variance of {N_FINDINGS} findings, {n} images, on one core",
            baseline_is="the most that is allowed",
        ),
        compare(
            "evaluate: DeLong by patient, seconds",
            ours=found["clustered s"],
            baseline=[MOST_DELONG_S] * len(found["clustered s"]),
            unit="s",
            goal=1.0,
            less_is_better=True,
            ours_is=f"AUROC and variance of {N_FINDINGS} findings, {n} images of {N_PATIENTS} patients, on one core",
            baseline_is="the most that is allowed",
        ),
        compare(
            "evaluate: DeLong",
            ours=found["delong s"],
            baseline=found["definition s"],
            unit="s",
            less_is_better=True,
            ours_is=f"AUROC and variance of {N_FINDINGS} findings, {n} images, by midranks",
            baseline_is="the same by definition, all pairs, in blocks",
        ),
        compare(
            "evaluate: patient bootstrap",
            ours=found["resamples/s"],
            baseline=found["one by one/s"],
            unit="resamples/s",
            ours_is=f"AUROC of one finding, {SAMPLES} resamples at once, counted by level",
            baseline_is="scikit-learn's roc_auc_score with weights, one resample after the other",
        ),
    ]


def on_one_core(work: Callable[[], float]) -> float:
    """What ``work`` gives while this process may use one core only."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        return work()
    finally:
        os.sched_setaffinity(0, allowed)


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def by_definition(positive: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """AUROC and DeLong's variance from all pairs of a positive and a negative."""
    x, y = score[positive], score[~positive]
    of_positives, of_negatives = np.empty(len(x)), np.zeros(len(y))
    size = max(1, PAIRS // len(y))
    for start in range(0, len(x), size):
        kernel = (x[start : start + size, None] > y) + 0.5 * (x[start : start + size, None] == y)
        of_positives[start : start + size] = kernel.mean(axis=1)
        of_negatives += kernel.sum(axis=0) / len(x)
    return float(of_positives.mean()), float(of_positives.var(ddof=1) / len(x) + of_negatives.var(ddof=1) / len(y))


def require_equal(findings: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Both sides of the first row give the same numbers, or the row would compare nothing."""
    for one in findings:
        value, covariance = delong(*one)
        np.testing.assert_allclose([value[0], covariance[0, 0]], by_definition(*one), atol=1e-10, rtol=0)


def resampled(positive: np.ndarray, score: np.ndarray, patient: np.ndarray, samples: int) -> np.ndarray:
    draws = Draws.of(patient, samples, 0)
    ranking = Ranking(positive, score, draws.places(patient))
    return draws.values(lambda block: auroc_of(ranking.steps(block)), len(patient))


def one_by_one(positive: np.ndarray, score: np.ndarray, patient: np.ndarray, samples: int) -> list[float]:
    from sklearn.metrics import roc_auc_score

    draws = Draws.of(patient, samples, 0)
    places = draws.places(patient)
    (block,) = draws.blocks(len(patient))
    return [float(roc_auc_score(positive, score, sample_weight=block[places, i])) for i in range(samples)]
