from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.statistics.auroc_intervals import auroc_interval, rests_on_few_errors
from cxr_tasks.statistics.delong import influences
from cxr_tasks.statistics.intervals import independent_difference, logit_scale_interval, score_interval, wilson, z_of
from cxr_tasks.statistics.scores import weighted_auroc
from tests.evaluate.formulas import auroc_difference, newcombe, patient_bootstrap


def two_normals(rng: np.random.Generator, n_positive: int, n_negative: int, separation: float):
    positive = np.repeat([True, False], [n_positive, n_negative])
    return positive, rng.normal(size=n_positive + n_negative) + separation * positive


def test_z_is_the_normal_quantile():
    assert z_of(0.95) == pytest.approx(1.959964, abs=1e-6)


@pytest.mark.parametrize(
    ("separation", "most"),
    [
        (1.0, 0.97),  # true AUROC 0.76
        (1.8, 0.97),  # 0.90
        (2.6, 0.98),  # 0.967: about half of the splits have few errors, and the wider interval
    ],
)
def test_delong_intervals_cover_the_true_auroc(separation, most):
    """1500 simulated test splits of the size of ours: 95 % intervals must hold the truth in 93 to 97 % of them."""
    truth, rng = norm.cdf(separation / np.sqrt(2)), np.random.default_rng(20261123)
    intervals = [auroc_interval(*two_normals(rng, 120, 80, separation), 0.95) for _ in range(1500)]
    covered = np.mean([one.lower <= truth <= one.upper for one in intervals])
    assert 0.93 <= covered <= most


@pytest.mark.parametrize("shape", ["normal", "wide", "mislabelled"])
@pytest.mark.parametrize(
    ("n_positive", "n", "truth", "by_delong"),
    [
        (8, 180, 0.76, 0.93),  # images of the rarer class x (1 - AUROC): 1.9
        (8, 180, 0.90, 0.93),  # 0.8
        (20, 400, 0.90, 0.94),  # 2.0
        (20, 400, 0.76, 0.97),  # 4.8: DeLong's is what is given
    ],
)
def test_with_few_errors_the_interval_covers_where_delongs_does_not(n_positive, n, truth, by_delong, shape):
    """1500 simulated splits with a rare finding; the lower end, which the gate reads, is too high in 3.5 % at most."""
    rng, covered, too_high, delongs = np.random.default_rng(20261129), 0, 0, 0
    for _ in range(1500):
        positive = np.repeat([True, False], [n_positive, n - n_positive])
        score = np.r_[scores_of(rng, shape, n_positive, truth), rng.normal(size=n - n_positive)]
        one = auroc_interval(positive, score, 0.95)
        covered += one.lower <= truth <= one.upper
        too_high += one.lower > truth
        value, each = influences(positive, score)
        plain = logit_scale_interval(value, float(each @ each), 0.95, "") if value < 1.0 else one
        delongs += plain.lower <= truth <= plain.upper
    assert covered / 1500 >= 0.93
    assert too_high / 1500 <= 0.035 or n_positive * (1 - truth) > 2.5
    assert delongs / 1500 < by_delong


def scores_of(rng: np.random.Generator, shape: str, n: int, truth: float) -> np.ndarray:
    """Positives above standard normal negatives with the probability ``truth``; of ``mislabelled`` a tenth is drawn as
    negatives are."""
    if shape == "mislabelled":
        centre = np.sqrt(2) * norm.ppf((truth - 0.05) / 0.9)
        return rng.normal(size=n) + centre * (rng.random(n) > 0.1)
    spread = {"normal": 1.0, "wide": 2.0}[shape]
    return spread * rng.normal(size=n) + np.sqrt(1 + spread**2) * norm.ppf(truth)


def test_an_interval_that_rests_on_few_errors_says_so_and_holds_delongs():
    positive, score = two_normals(np.random.default_rng(4), 8, 172, 1.8)
    few, swapped = (auroc_interval(one, score, 0.95) for one in (positive, ~positive))
    assert few.method == "wider of DeLong 95 % and Wilson with half of the largest variance (few errors)"
    assert swapped.method == few.method
    value, each = influences(positive, score)
    delongs, wide = logit_scale_interval(value, float(each @ each), 0.95, ""), score_interval(value, 16, z_of(0.95), "")
    assert few.lower == min(delongs.lower, wide.lower)
    assert few.upper == max(delongs.upper, wide.upper)
    assert auroc_interval(*two_normals(np.random.default_rng(4), 80, 120, 1.8), 0.95).method == (
        "DeLong 95 %, logit scale"
    )


@pytest.mark.parametrize(("n_positive", "value", "is_few"), [(24, 0.9, True), (26, 0.9, False), (8, 1.0, False)])
def test_few_errors_are_a_product_of_images_and_distance(n_positive, value, is_few):
    assert rests_on_few_errors(value, n_positive, 1000) == is_few
    assert rests_on_few_errors(1.0 - value, 1000, n_positive) == is_few


def test_paired_intervals_cover_the_true_difference():
    """Two scores with a shared part and equal AUROC: the interval of the difference must hold 0 as often as it says."""
    rng, covered = np.random.default_rng(7), 0
    for _ in range(1000):
        positive, shared = two_normals(rng, 100, 80, 2.0)
        one, other = (shared + 0.7 * rng.normal(size=180) for _ in range(2))
        interval = auroc_difference(positive, one, other, 0.95)
        covered += interval.lower <= 0.0 <= interval.upper
    assert 0.93 <= covered / 1000 <= 0.97


@pytest.mark.parametrize(
    ("n_positive", "n_negative", "lower"),
    [
        (20, 30, 0.025 ** (1 / 20)),  # 0.832: twenty disjoint pairs, all in order
        (200, 100, 0.025 ** (1 / 100)),  # 0.964
    ],
)
def test_a_perfect_auroc_has_a_lower_bound_below_one(n_positive, n_negative, lower):
    positive = np.repeat([True, False], [n_positive, n_negative])
    one = auroc_interval(positive, positive * 2.0 + np.linspace(0, 0.5, len(positive)), 0.95)
    assert (one.value, one.upper) == (1.0, 1.0)
    assert one.lower == pytest.approx(lower)
    assert "exact bound" in one.method


def test_the_bound_of_a_perfect_auroc_holds():
    """Where the truth is 0.96, samples of 10 + 10 are often perfect; the bound may then miss it in 2.5 % of all."""
    rng, truth, missed = np.random.default_rng(3), norm.cdf(2.5 / np.sqrt(2)), 0
    for _ in range(2000):
        one = auroc_interval(*two_normals(rng, 10, 10, 2.5), 0.95)
        missed += one.value == 1.0 and one.lower > truth
    assert missed / 2000 <= 0.025


def test_an_auroc_of_zero_is_the_mirror_image():
    positive = np.repeat([True, False], [20, 30])
    one = auroc_interval(positive, -1.0 * positive, 0.95)
    assert (one.value, one.lower) == (0.0, 0.0)
    assert one.upper == pytest.approx(1 - 0.025 ** (1 / 20))


def test_tied_scores_are_no_certainty():
    one = auroc_interval(np.repeat([True, False], [20, 30]), np.zeros(50), 0.95)
    assert one.value == 0.5
    assert one.lower < 0.35
    assert one.upper > 0.65
    assert "largest possible variance" in one.method


@given(st.integers(0, 2**31), st.integers(2, 30), st.integers(2, 30))
@settings(max_examples=60, deadline=None)
def test_an_interval_holds_its_value_and_stays_within_zero_and_one(seed, n_positive, n_negative):
    rng = np.random.default_rng(seed)
    positive, score = two_normals(rng, n_positive, n_negative, rng.uniform(-2, 4))
    one = auroc_interval(positive, np.round(score, 1), 0.95)
    assert 0.0 <= one.lower <= one.value <= one.upper <= 1.0
    assert one.lower < one.upper


def test_a_model_does_not_differ_from_itself():
    positive, score = two_normals(np.random.default_rng(0), 50, 50, 1.0)
    one = auroc_difference(positive, score, score * 2 + 1, 0.95)
    assert (one.value, one.lower, one.upper) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("hits", "n", "lower", "upper"),
    [
        (0, 10, 0.0, 0.2775),  # published values of Newcombe, Statistics in Medicine 17:857-872 (1998), method 3
        (1, 29, 0.0061, 0.1718),
        (81, 263, 0.2553, 0.3662),
        (10, 10, 0.7225, 1.0),
    ],
)
def test_wilson_gives_published_bounds(hits, n, lower, upper):
    one = wilson(hits, n, 0.95)
    assert one.value == hits / n
    assert (one.lower, one.upper) == (pytest.approx(lower, abs=5e-5), pytest.approx(upper, abs=5e-5))


@pytest.mark.parametrize("truth", [0.05, 0.3, 0.8, 0.95])
def test_wilson_covers_on_average(truth):
    """Coverage computed, not simulated: over all outcomes of 100 images, weighted by their probability."""
    covers = [wilson(k, 100, 0.95).lower <= truth <= wilson(k, 100, 0.95).upper for k in range(101)]
    assert 0.93 <= binom.pmf(np.arange(101), 100, truth)[covers].sum() <= 0.98


def test_a_proportion_of_nothing_is_undefined():
    with pytest.raises(UndefinedMetric):
        wilson(0, 0, 0.95)


@pytest.mark.parametrize(
    ("one", "other", "difference", "lower", "upper"),
    [
        ((56, 70), (48, 80), 0.2, 0.0524, 0.3339),  # Newcombe, Statistics in Medicine 17:873-890 (1998), method 10
        ((9, 10), (3, 10), 0.6, 0.1705, 0.8090),
        ((10, 10), (0, 10), 1.0, 0.6075, 1.0),
    ],
)
def test_newcombe_gives_published_bounds(one, other, difference, lower, upper):
    found = newcombe(*one, *other, 0.95)
    assert found.value == pytest.approx(difference)
    assert (found.lower, found.upper) == (pytest.approx(lower, abs=1e-4), pytest.approx(upper, abs=1e-4))
    turned = newcombe(*other, *one, 0.95)
    assert (turned.lower, turned.upper) == (pytest.approx(-found.upper), pytest.approx(-found.lower))


def test_intervals_of_an_auroc_difference_on_other_images_cover():
    """Two models' AUROCs on two splits of other patients, as of one model on two datasets."""
    rng, covered = np.random.default_rng(11), 0
    truth = norm.cdf(1.8 / np.sqrt(2)) - norm.cdf(1.0 / np.sqrt(2))
    for _ in range(1000):
        one, other = (auroc_interval(*two_normals(rng, 80, 120, separation), 0.95) for separation in (1.8, 1.0))
        found = independent_difference(one, other, "")
        covered += found.lower <= truth <= found.upper
    assert 0.93 <= covered / 1000 <= 0.97


@pytest.mark.parametrize(("truth", "other", "n", "other_n"), [(0.9, 0.9, 25, 180), (0.6, 0.8, 40, 40)])
def test_newcombe_covers_on_average(truth, other, n, other_n):
    """Coverage computed over all outcomes of both groups, weighted by their probability."""
    weights = np.outer(binom.pmf(np.arange(n + 1), n, truth), binom.pmf(np.arange(other_n + 1), other_n, other))
    covers = np.zeros(weights.shape, bool)
    for hits, other_hits in np.argwhere(weights > 1e-9):
        one = newcombe(int(hits), n, int(other_hits), other_n, 0.95)
        covers[hits, other_hits] = one.lower <= truth - other <= one.upper
    assert 0.93 <= weights[covers].sum() <= 0.98


def bootstrap(patient, positive, score, **changed):
    options = {"confidence": 0.95, "samples": 1500, "seed": 1, **changed}
    return patient_bootstrap(patient, lambda weights: weighted_auroc(positive, score, weights), **options)


def test_patient_bootstrap_agrees_with_delong_where_images_are_independent():
    positive, score = two_normals(np.random.default_rng(5), 120, 80, 1.5)
    lower, upper = bootstrap(np.arange(200), positive, score)
    one = auroc_interval(positive, score, 0.95)
    assert lower == pytest.approx(one.lower, abs=0.012)
    assert upper == pytest.approx(one.upper, abs=0.012)


def test_repeated_images_of_a_patient_narrow_nothing_that_counts_patients():
    positive, score = two_normals(np.random.default_rng(5), 60, 40, 1.5)
    patient = np.arange(100)
    once = bootstrap(patient, positive, score)
    four = bootstrap(np.tile(patient, 4), np.tile(positive, 4), np.tile(score, 4))
    assert four == pytest.approx(once, abs=1e-9)
    wide, narrow = (auroc_interval(np.tile(positive, k), np.tile(score, k), 0.95) for k in (1, 4))
    assert narrow.upper - narrow.lower < 0.6 * (wide.upper - wide.lower)
    counted = auroc_interval(np.tile(positive, 4), np.tile(score, 4), 0.95, np.tile(patient, 4))
    assert counted.upper - counted.lower >= wide.upper - wide.lower


def test_the_same_seed_gives_the_same_bounds_whatever_the_block_size(monkeypatch):
    positive, score = two_normals(np.random.default_rng(5), 30, 30, 1.0)
    whole = bootstrap(np.arange(60), positive, score)
    monkeypatch.setattr("cxr_tasks.statistics.resampling.BLOCK", 60 * 7)
    assert bootstrap(np.arange(60), positive, score) == whole
    assert bootstrap(np.arange(60), positive, score, seed=2) != whole


def test_resamples_that_mostly_lack_a_class_have_no_interval():
    patients = np.arange(10)
    with pytest.raises(UndefinedMetric, match="of 10 patients have no value"):
        patient_bootstrap(
            patients,
            lambda weights: np.where(weights[:, 0] >= 2, 1.0, np.nan),
            confidence=0.95,
            samples=200,
            seed=0,
        )
