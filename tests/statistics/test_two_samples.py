"""p-values against scipy's, and that ties and clusters make them larger, not smaller."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cxr_tasks.statistics.benjamini_hochberg import benjamini_hochberg
from cxr_tasks.statistics.two_samples import kolmogorov_smirnov, two_shares


def test_kolmogorov_smirnov_agrees_with_scipy():
    rng = np.random.default_rng(0)
    one, other = np.sort(rng.normal(size=400)), rng.normal(0.25, 1, 500)
    distance, p = kolmogorov_smirnov(one, other, 400, 500)
    found = stats.ks_2samp(one, other)
    assert distance == pytest.approx(found.statistic)
    assert p == pytest.approx(found.pvalue, rel=0.25)
    assert kolmogorov_smirnov(one, other, 200, 250)[1] > p  # fewer patients than images


@pytest.mark.parametrize("counts", [(10, 100, 30, 100), (0, 500, 9, 400), (400, 1000, 405, 900), (3, 10, 3, 10)])
def test_shares_are_held_together_exactly(counts):
    a, n, b, m = counts
    one_sided = [stats.fisher_exact([[a, n - a], [b, m - b]], alternative=side).pvalue for side in ("less", "greater")]
    assert two_shares(*counts) == pytest.approx(min(1.0, 2 * min(one_sided)), rel=1e-6)


def test_benjamini_hochberg_agrees_with_scipy():
    p = np.random.default_rng(1).random(30) ** 3
    assert benjamini_hochberg(list(p)) == pytest.approx(list(stats.false_discovery_control(p)))
