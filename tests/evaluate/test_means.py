from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.decided import Decided, micro_records, served_records
from cxr_tasks.evaluate.means import mean_auroc_interval, mean_records
from cxr_tasks.evaluate.measures import measure_split
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.auroc_intervals import auroc_interval
from cxr_tasks.statistics.calibration import Platt, sigmoid
from cxr_tasks.statistics.resampling import Draws

SPEC = EvaluateSpec(bootstrap_samples=200)
N = 240


def make_rows(finding: str, *, n_positive: int = 60, separation: float = 1.5, seed: int = 0) -> Scored:
    rng = np.random.default_rng(seed)
    positive = rng.permutation(N) < n_positive
    return Scored(
        finding=finding,
        split="test",
        is_positive=positive,
        logit=rng.normal(size=N) + separation * positive - 2,
        patient_key=np.array([f"p{i // 2:03d}" for i in range(N)]),
        image_id=np.array([f"i{i:03d}" for i in range(N)]),
        n_unknown=0,
    )


ROWS = [make_rows("mass", seed=1), make_rows("nodule", n_positive=20, seed=2), make_rows("edema", seed=3)]
DRAWS = Draws.of(ROWS[0].patient_key, SPEC.bootstrap_samples, SPEC.bootstrap_seed)
PLATT = Platt(1.3, 0.4)


def test_one_finding_with_one_image_a_patient_is_its_own_mean():
    rows = dataclasses.replace(ROWS[0], patient_key=ROWS[0].image_id)
    one = mean_auroc_interval([rows], 0.95)
    alone = auroc_interval(rows.is_positive, rows.logit, 0.95)
    assert (one.value, one.lower, one.upper) == pytest.approx((alone.value, alone.lower, alone.upper), abs=1e-12)


def test_two_copies_of_a_finding_are_no_narrower_than_one():
    """Findings share images: the mean of a finding with itself knows no more than the finding."""
    one, twice = mean_auroc_interval(ROWS[:1], 0.95), mean_auroc_interval([ROWS[0], ROWS[0]], 0.95)
    assert (twice.lower, twice.upper) == pytest.approx((one.lower, one.upper), abs=1e-12)
    apart = mean_auroc_interval(ROWS, 0.95)
    assert apart.upper - apart.lower < one.upper - one.lower


@pytest.mark.parametrize(
    ("n_patients", "images_each"),
    [
        (200, 1),
        (150, 3),  # alike in truth and noise: taken for independent, intervals covered 80 % of the time
    ],
)
def test_mean_delong_intervals_cover_the_true_mean(n_patients, images_each):
    """1000 simulated splits with four findings whose scores share most of their noise, so that errors go together."""
    rng, covered = np.random.default_rng(20261123), 0
    truth = np.mean([norm.cdf(s / np.sqrt(2)) for s in (0.6, 1.0, 1.4, 1.8)])
    patient = np.repeat(np.arange(n_patients).astype(str), images_each)
    image_id = np.arange(len(patient)).astype(str)
    for _ in range(1000):
        common, rows = np.repeat(rng.normal(size=n_patients), images_each), []
        for separation in (0.6, 1.0, 1.4, 1.8):
            positive = np.repeat(rng.random(n_patients) < 0.3, images_each)
            logit = separation * positive + np.sqrt(0.7) * common + np.sqrt(0.3) * rng.normal(size=len(patient))
            rows.append(Scored("f", "test", positive, logit, patient, image_id, 0))
        one = mean_auroc_interval(rows, 0.95)
        covered += one.lower <= truth <= one.upper
    assert 0.93 <= covered / 1000 <= 0.97


def test_a_perfect_model_has_bounds_all_the_same():
    perfect = [make_rows(name, separation=50, seed=i) for i, name in enumerate(("mass", "nodule"))]
    one = mean_auroc_interval(perfect, 0.95)
    assert (one.value, one.upper) == (1.0, 1.0)
    assert 0.9 < one.lower < 1.0


def test_a_finding_with_four_positives_is_in_no_mean():
    rare = make_rows("hernia", n_positive=4, seed=9)
    with_it, without = (
        mean_records([measure_split(one, PLATT, SPEC, DRAWS) for one in rows], "test", DRAWS, SPEC)
        for rows in ([*ROWS, rare], ROWS)
    )
    names = [one.name for one in with_it]
    assert names[:3] == ["auroc", "auroc_patient_bootstrap", "average_precision"]
    assert {"prevalence", "ece_before", "ece_after", "brier_after"} <= set(names)
    for one, other in zip(with_it, without, strict=True):
        assert (one.value, one.lower, one.upper) == (other.value, other.lower, other.upper)
        assert one.lower <= one.value <= one.upper
        assert one.method.startswith("mean over 3 findings, 1 not assessable; ")
    first = float(np.mean([roc_auc_score(rows.is_positive, rows.logit) for rows in ROWS]))
    assert with_it[0].value == pytest.approx(first, abs=1e-12)


def test_nothing_assessable_is_a_reason_and_never_a_number():
    rare = [make_rows(name, n_positive=3) for name in ("hernia", "mass")]
    found = mean_records([measure_split(one, None, SPEC, DRAWS) for one in rare], "test", DRAWS, SPEC)
    assert [one.value for one in found] == [None, None]
    assert "3 positive and 237 negative images of mass" in found[0].reason


def decided(threshold: float = 0.3) -> list[Decided]:
    return [Decided.of(rows, PLATT, threshold) for rows in ROWS]


def test_micro_is_scikit_learns_on_calibrated_probabilities():
    found = {one.name: one for one in micro_records(decided(), "test", DRAWS, SPEC)}
    truth = np.stack([rows.is_positive for rows in ROWS], axis=1)
    p = np.stack([sigmoid(1.3 * rows.logit + 0.4) for rows in ROWS], axis=1)
    assert found["auroc"].value == pytest.approx(roc_auc_score(truth, p, average="micro"), abs=1e-12)
    assert found["auroc_patient_bootstrap"].value == pytest.approx(found["auroc"].value, abs=1e-12)
    precision = average_precision_score(truth, p, average="micro")
    assert found["average_precision"].value == pytest.approx(precision, abs=1e-12)
    assert found["prevalence"].value == pytest.approx(truth.mean())
    assert found["auroc"].n == 3 * N
    for one in found.values():
        assert one.lower <= one.value <= one.upper
        assert one.lower < one.upper


def test_micro_calibration_is_of_all_pairs_before_and_after():
    found = {one.name: one for one in micro_records(decided(), "test", DRAWS, SPEC)}
    truth = np.concatenate([rows.is_positive for rows in ROWS])
    raw = np.concatenate([sigmoid(rows.logit) for rows in ROWS])
    calibrated = np.concatenate([sigmoid(1.3 * rows.logit + 0.4) for rows in ROWS])
    for ending, p in (("before", raw), ("after", calibrated)):
        brier, ece = found[f"brier_{ending}"], found[f"ece_{ending}"]
        assert brier.value == pytest.approx(brier_score_loss(truth, p), abs=1e-12)
        bins = np.minimum((p * 10).astype(int), 9)
        by_hand = sum(abs((p - truth)[bins == i].sum()) for i in range(10)) / len(p)
        assert ece.value == pytest.approx(by_hand, abs=1e-12)
        assert (brier.n, brier.n_positive) == (3 * N, int(truth.sum()))
        assert brier.lower < brier.value < brier.upper
        assert brier.method.startswith("pairs of 3 findings; patient bootstrap 95 %")


def test_served_decisions_as_mean_and_micro_by_hand():
    found = served_records(decided(), "test", DRAWS, SPEC)
    each = [(rows.is_positive, PLATT.probabilities(rows.logit) >= 0.3) for rows in ROWS]
    mean = np.mean([called[positive].mean() for positive, called in each])
    pooled = np.concatenate([called[positive] for positive, called in each]).mean()
    by_kind = {kind: {one.name: one for one in records} for kind, records in found.items()}
    assert by_kind["mean"]["sensitivity"].value == pytest.approx(mean)
    assert by_kind["micro"]["sensitivity"].value == pytest.approx(pooled)
    called, positive = (np.concatenate([one[i] for one in each]) for i in (1, 0))
    assert by_kind["micro"]["ppv"].value == pytest.approx(positive[called].mean())
    for records in by_kind.values():
        for one in records.values():
            assert one.lower <= one.value <= one.upper


def test_a_ppv_of_no_call_is_a_reason():
    found = {one.name: one for one in served_records(decided(0.9999), "test", DRAWS, SPEC)["mean"]}
    assert found["ppv"].value is None
    assert "nothing to divide by" in found["ppv"].reason
    assert found["sensitivity"].value == 0.0
