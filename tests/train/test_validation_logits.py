from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.statistics.auroc_intervals import auroc_interval
from cxr_tasks.statistics.delong import delong
from cxr_tasks.train.loop.validation_logits import ValidationLogits, difference, mean_auroc_of
from tests.evaluate.formulas import auroc_difference

SPEC = EvaluateSpec()


def mean_auroc(targets: np.ndarray, scores: np.ndarray) -> float:
    """By its definition: the share of pairs in the right order."""
    values = []
    for target, score in zip(targets.T, scores.T, strict=True):
        pairs = score[target == 1][:, None] - score[target == 0][None, :]
        values.append(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    return float(np.mean(values))


def made(n: int = 200, k: int = 3, views: int = 1, seed: int = 0, skill: float = 1.0) -> ValidationLogits:
    """One image per patient; labels do not depend on ``seed``, scores do."""
    targets = np.random.default_rng(99).integers(0, 2, (n, k)).astype(np.float32)
    noise = np.random.default_rng(seed).normal(size=(views, n, k))
    return ValidationLogits((skill * targets + noise).astype(np.float32), targets, np.arange(n))


def test_of_one_finding_it_is_delong():
    found = made(k=1)
    is_positive, scores = found.targets[:, 0] == 1, found.logits[0, :, 0].astype(float)
    expected, got = auroc_interval(is_positive, scores, 0.95), mean_auroc_of(found, SPEC)
    assert (got.value, got.lower, got.upper) == pytest.approx((expected.value, expected.lower, expected.upper))
    other = made(k=1, seed=1, skill=0.5)
    paired = auroc_difference(is_positive, scores, other.logits[0, :, 0].astype(float), 0.95)
    behind = difference(got, mean_auroc_of(other, SPEC), 0.95)
    assert (behind.value, behind.lower, behind.upper) == pytest.approx((paired.value, paired.lower, paired.upper))


def test_a_finding_counted_twice_makes_the_interval_no_narrower():
    """Its errors are the same ones; averaging independent variances would narrow it by the root of two."""
    one = made(k=1)
    twice = ValidationLogits(one.logits.repeat(2, axis=2), one.targets.repeat(2, axis=1), one.patients)
    a, b = mean_auroc_of(one, SPEC), mean_auroc_of(twice, SPEC)
    assert (a.value, a.lower, a.upper) == pytest.approx((b.value, b.lower, b.upper))


def test_images_of_one_patient_count_as_one():
    """Each image stored twice under its patient tells nothing new: the interval stays about what it was."""
    one = made(n=150)
    doubled = ValidationLogits(one.logits.repeat(2, axis=1), one.targets.repeat(2, axis=0), one.patients.repeat(2))
    as_if_apart = ValidationLogits(doubled.logits, doubled.targets, np.arange(300))
    width = [found.upper - found.lower for found in (mean_auroc_of(x, SPEC) for x in (one, doubled, as_if_apart))]
    assert width[1] == pytest.approx(width[0], rel=0.02)
    assert width[2] == pytest.approx(width[0] / np.sqrt(2), rel=0.02)


def drawn(rng: np.random.Generator, n_patients: int) -> list[ValidationLogits]:
    """Two models on patients with 1 to 5 images; labels and scores of a patient are alike, as are those of a model."""
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 6, n_patients))
    n, k = len(patients), 3
    labels = 0.8 * rng.normal(size=(n_patients, k))[patients] + 0.6 * rng.normal(size=(n, k)) > 0.5
    shared = 0.7 * rng.normal(size=(n_patients, 1))[patients] + 0.5 * rng.normal(size=(n, k))
    logits = [skill * labels + shared + 0.4 * rng.normal(size=(n, k)) for skill in (1.0, 0.8)]
    return [ValidationLogits(one[None].astype(np.float32), labels.astype(np.float32), patients) for one in logits]


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Of 300 simulated splits of 100 patients, 95 % are expected within; a standard deviation of that is 1.3 %."""
    rng, n = np.random.default_rng(1), 300
    truth = [mean_auroc_of(one, SPEC).value for one in drawn(rng, 30_000)]
    n_held, n_held_difference, n_held_by_image = 0, 0, 0
    for _ in range(n):
        found = drawn(rng, 100)
        one, other = [mean_auroc_of(x, SPEC) for x in found]
        n_held += one.lower <= truth[0] <= one.upper
        behind = difference(one, other, 0.95)
        n_held_difference += behind.lower <= truth[0] - truth[1] <= behind.upper
        images = np.arange(len(found[0].patients))
        naive = mean_auroc_of(ValidationLogits(found[0].logits, found[0].targets, images), SPEC)
        n_held_by_image += naive.lower <= truth[0] <= naive.upper
    assert 0.91 <= n_held / n <= 0.98 and 0.91 <= n_held_difference / n <= 0.98
    assert n_held_by_image / n < 0.91, "images of one patient taken as if they were of several would promise too much"


def test_the_variance_over_findings_is_that_of_the_sum():
    """Against DeLong's covariance of two scores on the same images and labels: var of a mean of two is the sum / 4."""
    found = made(k=1)
    second = made(k=1, seed=5)
    both = ValidationLogits(
        np.concatenate([found.logits, second.logits], axis=2), found.targets.repeat(2, 1), found.patients
    )
    _, covariance = delong(found.targets[:, 0] == 1, both.logits[0].T.astype(float))
    assert (mean_auroc_of(both, SPEC).by_patient ** 2).sum() == pytest.approx(covariance.sum() / 4, rel=1e-9)


def test_stressed_views_share_half_of_the_score():
    found = made(views=3)
    plain, *stressed = [mean_auroc(found.targets, view) for view in found.logits]
    assert mean_auroc_of(found, SPEC).value == pytest.approx((plain + np.mean(stressed)) / 2)
    assert mean_auroc_of(found.plain(), SPEC).value == pytest.approx(plain)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_the_order_of_images_and_of_patients_numbers_does_not_matter(seed):
    rng, found = np.random.default_rng(seed), made(n=60)
    order, renamed = rng.permutation(60), rng.permutation(60)
    shuffled = ValidationLogits(found.logits[:, order], found.targets[order], renamed[found.patients[order]])
    a, b = mean_auroc_of(found, SPEC), mean_auroc_of(shuffled, SPEC)
    assert (a.value, a.lower, a.upper) == pytest.approx((b.value, b.lower, b.upper))


def test_rare_findings_are_left_out_unless_nothing_else_is_there():
    found = made(n=100)
    found.targets[:, 2] = 0
    found.targets[:3, 2] = 1
    assert mean_auroc_of(found, SPEC).n_findings == 2
    rare = ValidationLogits(found.logits[:, :, 2:], found.targets[:, 2:], found.patients)
    assert mean_auroc_of(rare, SPEC).n_findings == 1 and mean_auroc_of(rare, SPEC).lower is not None
    rare.targets[1:3] = 0
    single = mean_auroc_of(rare, SPEC)
    assert single.value == pytest.approx(mean_auroc(rare.targets, rare.logits[0])) and single.lower is None
    rare.targets[:] = np.nan
    with pytest.raises(DataDefect, match="expected a finding with both classes"):
        mean_auroc_of(rare, SPEC)


def test_unknown_labels_are_left_out():
    found = made(k=1)
    found.targets[::4] = np.nan
    known = ~np.isnan(found.targets[:, 0])
    apart = ValidationLogits(found.logits[:, known], found.targets[known], found.patients[known])
    assert mean_auroc_of(found, SPEC).value == pytest.approx(mean_auroc_of(apart, SPEC).value)


def test_a_perfect_ranking_has_an_interval_with_a_width():
    targets = np.tile(np.array([[0.0], [1.0]], np.float32), (30, 1))
    found = mean_auroc_of(ValidationLogits(targets[None], targets, np.arange(60)), SPEC)
    assert found.value == 1.0 and found.lower < 0.95 and found.upper == 1.0
    assert "no variance" in found.method


def test_logits_come_back_from_their_file_and_a_broken_one_is_named(tmp_path):
    found, path = made(views=2), tmp_path / "validation.npz"
    found.write(path)
    again = ValidationLogits.read(path)
    assert np.array_equal(again.logits, found.logits) and again.is_about_the_same(found)
    assert not again.is_about_the_same(made(views=1))
    path.write_bytes(b"half")
    with pytest.raises(DataDefect, match="expected logits of a validation split"):
        ValidationLogits.read(path)
