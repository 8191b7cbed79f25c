from __future__ import annotations

import numpy as np

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.explain.chosen_images import KINDS, MOST_CONFIDENT, NEAR_THRESHOLD, choose_examples, choose_findings
from tests.evaluations import make_evaluation, make_record

PROBABILITY = np.array([0.95, 0.90, 0.55, 0.99, 0.52, 0.10, 0.45, 0.05, 0.02, 0.48])
POSITIVE = np.array([True, True, True, False, False, True, True, False, False, False])


def rows(patient_key=None) -> Scored:
    n = len(POSITIVE)
    return Scored(
        finding="pneumonia",
        split="test",
        is_positive=POSITIVE,
        logit=np.zeros(n),
        patient_key=np.array([f"p{i}" for i in range(n)] if patient_key is None else patient_key),
        image_id=np.array([f"i{i}" for i in range(n)]),
        n_unknown=0,
    )


def test_sure_ones_and_close_calls_of_each_kind():
    chosen = choose_examples(rows(), PROBABILITY, 0.5, n_confident=1, n_near=1)
    assert [(one.kind, one.why, one.image_id) for one in chosen] == [
        ("true_positive", MOST_CONFIDENT, "i0"),
        ("true_positive", NEAR_THRESHOLD, "i2"),
        ("false_positive", MOST_CONFIDENT, "i3"),
        ("false_positive", NEAR_THRESHOLD, "i4"),
        ("false_negative", MOST_CONFIDENT, "i5"),
        ("false_negative", NEAR_THRESHOLD, "i6"),
        ("true_negative", MOST_CONFIDENT, "i8"),
        ("true_negative", NEAR_THRESHOLD, "i9"),
    ]


def test_an_image_at_the_threshold_is_called_positive():
    chosen = choose_examples(rows(), np.full(10, 0.5), 0.5)
    assert {one.kind for one in chosen} == {"true_positive", "false_positive"}


def test_a_kind_without_images_is_left_out_and_no_image_comes_twice():
    chosen = choose_examples(rows(), np.where(POSITIVE, 0.9, 0.1), 0.5, n_confident=9, n_near=9)
    assert {one.kind for one in chosen} == {"true_positive", "true_negative"}
    assert len({one.image_id for one in chosen}) == len(chosen) == 10


def test_a_patient_is_shown_once_per_kind():
    patients = ["a", "a", "b", "c", "c", "d", "d", "e", "e", "e"]
    chosen = choose_examples(rows(patients), PROBABILITY, 0.5, n_confident=5, n_near=5)
    for kind in KINDS:
        keys = [patients[int(one.image_id[1:])] for one in chosen if one.kind == kind]
        assert len(set(keys)) == len(keys)


def test_the_order_of_the_table_does_not_matter():
    order = np.random.default_rng(0).permutation(10)
    table = rows()
    shuffled = Scored(
        finding="pneumonia",
        split="test",
        is_positive=POSITIVE[order],
        logit=np.zeros(10),
        patient_key=table.patient_key[order],
        image_id=table.image_id[order],
        n_unknown=0,
    )
    assert choose_examples(shuffled, PROBABILITY[order], 0.5) == choose_examples(table, PROBABILITY, 0.5)


def metrics_of(aurocs: dict[str, float | None], not_served: tuple[str, ...] = ()) -> Evaluation:
    chosen = {"a": 1.0, "b": 0.0, "threshold": 0.5, "operating_point": "youden", "reason": ""}
    return make_evaluation(
        {
            finding: {"assessable": value is not None, "metrics": {"test": [make_record("auroc", value)]}}
            for finding, value in aurocs.items()
        },
        serving={
            finding: {**chosen, "operating_point": None} if finding in not_served else chosen for finding in aurocs
        },
    )


def test_of_many_findings_the_two_at_either_end_are_shown_and_the_rule_is_told():
    aurocs = {"a": 0.7, "b": 0.9, "c": None, "d": 0.6, "e": 0.8, "f": 0.5, "g": 0.65}
    chosen, rule = choose_findings(metrics_of(aurocs))
    assert chosen == ["b", "d", "e", "f"]  # in the order of the findings, not of the scores
    assert rule.startswith("Of 7 findings, examples are shown of the 2 with the highest and the 2 with the lowest")


def test_few_findings_are_all_shown_but_those_without_a_decision():
    assert choose_findings(metrics_of({"a": 0.7, "b": None, "c": 0.6}, not_served=("b",))) == (["a", "c"], "")
    # Too few positives on test, but a threshold from validation: its images are shown.
    assert choose_findings(metrics_of({"a": None})) == (["a"], "")


def test_fewer_assessable_findings_than_places_are_each_shown_once():
    chosen, _ = choose_findings(metrics_of({"a": 0.7, "b": None, "c": None, "d": None, "e": 0.6, "f": 0.8}))
    assert chosen == ["a", "e", "f"]
