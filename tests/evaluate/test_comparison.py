from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxr_tasks.contracts.errors import DataDefect, UndefinedMetric
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.table import Scored, scored
from cxr_tasks.gate.comparison import Pair, mean_auroc_difference, paired, regressions
from tests.evaluate.formulas import auroc_difference

FINDINGS = ("pneumonia",)
SPEC = EvaluateSpec(bootstrap_samples=500)


def noisier(table, sigma, seed=1):
    noise = np.random.default_rng(seed).normal(size=len(table)) * sigma
    return table.assign(logit_pneumonia=table["logit_pneumonia"] + noise)


def difference(candidate, champion, findings=FINDINGS):
    return mean_auroc_difference(paired(candidate, champion, findings, SPEC), SPEC)


def test_a_model_equals_itself_in_any_order(make_predictions):
    table = make_predictions()
    one = difference(table, table.sample(frac=1, random_state=0))
    assert (one.value, one.lower, one.upper) == (0.0, 0.0, 0.0)


def test_the_lower_of_two_intervals_is_taken(make_predictions):
    table = make_predictions(images_per_patient=1)
    worse = noisier(table, 2.0)
    one = difference(worse, table)
    rows, theirs = scored(worse, "test", "pneumonia"), scored(table, "test", "pneumonia")
    delong = auroc_difference(rows.is_positive, rows.logit, theirs.logit, 0.95)
    assert one.value == pytest.approx(delong.value, abs=1e-12)
    assert one.lower <= delong.lower + 1e-12
    assert one.upper < 0


def test_several_findings_are_compared_by_their_mean(make_predictions):
    table = make_predictions(findings=("cardiomegaly", "pneumonia"))
    one = difference(noisier(table, 2.0), table, ("cardiomegaly", "pneumonia"))
    alone = difference(noisier(table, 2.0), table)
    assert one.value == pytest.approx(alone.value / 2)  # cardiomegaly is scored alike by both


def test_other_images_cannot_be_compared(make_predictions):
    with pytest.raises(DataDefect, match="same test images"):
        paired(make_predictions(), make_predictions(n_test=198), FINDINGS, SPEC)


def test_too_few_positives_cannot_be_compared(make_predictions):
    table = make_predictions(n_test=6)
    with pytest.raises(UndefinedMetric, match="at least 5 of each"):
        paired(table, table, FINDINGS, SPEC)


def test_images_of_one_patient_are_counted_together(make_predictions):
    """Each image five times over tells no more than once; DeLong by image would be surer by the root of five."""
    table = make_predictions(images_per_patient=1)
    pairs = paired(noisier(table, 2.0), table, FINDINGS, SPEC)
    five = [Pair(_repeated(one.rows, 5), np.tile(one.other, 5)) for one in pairs]
    once, often = mean_auroc_difference(pairs, SPEC), mean_auroc_difference(five, SPEC)
    assert often.value == pytest.approx(once.value)
    assert often.lower == pytest.approx(once.lower, abs=0.01)


def _repeated(rows, times):
    names = ("is_positive", "logit", "patient_key", "image_id")
    return dataclasses.replace(rows, **{name: np.tile(getattr(rows, name), times) for name in names})


def pair_of(positives, negatives, other_positives, other_negatives):
    n, m = len(positives), len(negatives)
    rows = Scored(
        finding="edema",
        split="test",
        is_positive=np.r_[np.ones(n, bool), np.zeros(m, bool)],
        logit=np.r_[positives, negatives].astype(float),
        patient_key=np.array([f"p{i}" for i in range(n + m)]),
        image_id=np.array([f"i{i}" for i in range(n + m)]),
        n_unknown=0,
    )
    return Pair(rows, np.r_[other_positives, other_negatives].astype(float))


def test_a_regression_by_hand():
    """Candidate 11 of 12 pairs right, champion all: the difference is -1/12, its error 0.0833.

    Placements of the candidate's positives are 1, 1, 1 and 2/3, of its negatives 1, 1 and 3/4; of the champion's all 1.
    The variance is var(0, 0, 0, -1/3) / 4 + var(0, 0, -1/4) / 3 = 1/144 + 1/144. So few images make it that the error
    at no difference stands beside it: both at 11/12, half of the largest variance 11/144 of 3 images each, ranks
    correlated by -0.2 in the positives and 1 in the negatives, 0.4 on average.
    """
    pair = pair_of([5, 6, 7, 2.5], [0, 1, 3], [5, 6, 7, 8], [0, 1, 3])
    (one,) = regressions([pair], 0.0, SPEC)
    error = (2 / 144) ** 0.5
    assert one.finding == "edema"
    assert one.difference.value == pytest.approx(-1 / 12)
    assert one.difference.value - one.difference.lower >= 1.959964 * error
    at_zero = (2 * (1 - 0.4) * 0.5 * 11 / 144 / 3) ** 0.5
    assert one.p_value == pytest.approx(0.2501, abs=1e-4)  # the normal tail beyond (1/12) / 0.1236 = 0.6742
    assert at_zero == pytest.approx(0.1236, abs=1e-4)
    (beyond,) = regressions([pair], 0.05, SPEC)
    assert beyond.p_value == pytest.approx(0.3886, abs=1e-4)  # (1/12 - 0.05) / 0.11785 = 0.2828


@pytest.mark.parametrize(("margin", "p_value"), [(0.0, 1.0), (0.02, 1.0)])
def test_models_that_rank_alike_show_no_regression(margin, p_value):
    (one,) = regressions([pair_of([1, 2, 3], [0, 2.5], [10, 20, 30], [0, 25])], margin, SPEC)
    assert (one.difference.value, one.p_value) == (0.0, p_value)
