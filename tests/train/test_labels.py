"""Each policy for uncertain labels on labels one can count by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.label_policies import CHEXPERT_POLICIES, LabelSpec
from cxr_tasks.contracts.labels import VOCABULARIES, LabelState
from cxr_tasks.datasets.targets import CODES, evaluation_targets, states_of
from cxr_tasks.train.data import label_treatment
from cxr_tasks.train.data.label_treatment import Targets, label_counts, policy_table, training_targets

POSITIVE, NEGATIVE, UNCERTAIN, UNMENTIONED = range(4)
NAN = math.nan


def column(*codes: int) -> np.ndarray:
    return np.array(codes, np.uint8)[:, None]


def spec_of(policy: str, **changes) -> LabelSpec:
    return LabelSpec(uncertain=policy, uncertain_by_finding={}, **changes)


def test_codes_are_the_order_of_the_states_as_the_dataset_stores_them():
    assert [str(state) for state in LabelState] == ["positive", "negative", "uncertain", "unmentioned"]
    assert list(CODES.values()) == [POSITIVE, NEGATIVE, UNCERTAIN, UNMENTIONED]


@pytest.mark.parametrize(
    ("policy", "value", "is_third_class"),
    [
        ("zeros", 0.0, False),
        ("ones", 1.0, False),
        ("ignore", NAN, False),
        ("multi_class", NAN, True),    # trained, but not as a value between negative and positive
        ("self_trained", NAN, False),  # without a first model as ignore
    ],
)  # fmt: skip
def test_policy_touches_uncertain_labels_only(policy, value, is_third_class):
    states = column(POSITIVE, NEGATIVE, UNCERTAIN, UNMENTIONED)
    targets = training_targets(states, ["edema"], spec_of(policy), seed=1)
    assert targets.values.dtype == np.float32
    np.testing.assert_array_equal(targets.values[:, 0], np.array([1, 0, value, 0], np.float32))
    assert targets.is_uncertain[:, 0].tolist() == [False, False, is_third_class, False]
    assert targets.has_third_class.tolist() == [is_third_class]


def test_unmentioned_is_masked_where_the_recipe_ignores_it():
    states = column(POSITIVE, NEGATIVE, UNMENTIONED)
    masked = training_targets(states, ["edema"], spec_of("ones", unmentioned="ignore"), seed=1)
    np.testing.assert_array_equal(masked.values[:, 0], [1, 0, NAN])


@pytest.mark.parametrize(("policy", "low", "high"), [("smoothed_ones", 0.55, 0.85), ("smoothed_zeros", 0.0, 0.3)])
def test_smoothed_labels_fill_their_range_evenly(policy, low, high):
    states = np.full((20_000, 1), UNCERTAIN, np.uint8)
    values = training_targets(states, ["edema"], spec_of(policy), seed=3).values[:, 0].astype(float)
    assert low <= values.min() < low + 0.001 and high - 0.001 < values.max() <= high + 1e-7
    deviation = (high - low) / math.sqrt(12)  # of a uniform distribution
    assert values.mean() == pytest.approx((low + high) / 2, abs=4 * deviation / math.sqrt(20_000))
    assert values.std() == pytest.approx(deviation, rel=0.03)


def test_a_smoothed_label_follows_from_seed_row_and_finding_alone():
    states = np.full((50, 2), UNCERTAIN, np.uint8)
    spec = spec_of("smoothed_ones")
    both = training_targets(states, ["edema", "mass"], spec, seed=3).values
    other_way = training_targets(states, ["mass", "edema"], spec, seed=3).values
    assert np.array_equal(both, other_way[:, ::-1])
    fewer = training_targets(states[:20, :1], ["edema"], spec, seed=3).values
    assert np.array_equal(both[:20, :1], fewer)
    assert not np.isin(both[:, 0], both[:, 1]).any()
    assert (training_targets(states, ["edema", "mass"], spec, seed=4).values != both).all()


def test_self_trained_labels_are_the_first_models_probabilities():
    states = column(POSITIVE, UNCERTAIN, UNCERTAIN, NEGATIVE)
    soft = np.array([[0.1], [0.3], [NAN], [0.9]])
    targets = training_targets(states, ["edema"], spec_of("self_trained"), seed=1, soft=soft)
    np.testing.assert_array_equal(targets.values[:, 0], np.array([1, 0.3, NAN, 0], np.float32))
    unused = training_targets(states, ["edema"], spec_of("zeros"), seed=1, soft=soft)
    assert unused.values[:, 0].tolist() == [1, 0, 0, 0]


def test_evaluation_never_scores_an_uncertain_label():
    states = column(POSITIVE, NEGATIVE, UNCERTAIN, UNMENTIONED)
    np.testing.assert_array_equal(evaluation_targets(states, spec_of("ones"))[:, 0], [1, 0, NAN, 0])
    ignoring = spec_of("ones", unmentioned="ignore")
    np.testing.assert_array_equal(evaluation_targets(states, ignoring)[:, 0], [1, 0, NAN, NAN])


def test_findings_of_the_recipe_go_before_its_rule_for_the_others():
    spec = LabelSpec(uncertain="zeros", uncertain_by_finding={"mass": "ones"})
    states = np.full((1, 2), UNCERTAIN, np.uint8)
    assert training_targets(states, ["edema", "mass"], spec, seed=1).values.tolist() == [[0, 1]]


def test_default_policies_hold_for_vocabularies_without_those_findings():
    assert label_treatment.policies_of(["pneumonia"], LabelSpec()) == ("ignore",)
    by_finding = dict(
        zip(VOCABULARIES["nih14"], label_treatment.policies_of(VOCABULARIES["nih14"], LabelSpec()), strict=True)
    )
    assert {name: policy for name, policy in by_finding.items() if policy != "ignore"} == CHEXPERT_POLICIES


@pytest.mark.parametrize(
    ("by_finding", "says"),
    [
        ({"cardiomegali": "ones"}, "did you mean 'cardiomegaly'"),
        ({"fracture": "ones"}, "'fracture' is no finding of this vocabulary; its findings: edema, cardiomegaly"),
        ({"atelectasis": "zeros"}, "'atelectasis' is no finding"),  # named by default, but not with this policy
        ({"edema": "one"}, "'one' is not known; did you mean 'ones'"),
    ],
)
def test_a_recipe_that_names_what_is_not_there_is_refused(by_finding, says):
    spec = LabelSpec(uncertain_by_finding=by_finding)
    with pytest.raises(ConfigurationError, match=says.replace("?", r"\?")):
        training_targets(np.zeros((1, 2), np.uint8), ["edema", "cardiomegaly"], spec, seed=1)


@pytest.mark.parametrize(
    ("states", "soft", "says"),
    [
        (np.zeros((3, 2), np.uint8), None, "one column for each of 1 findings"),
        (column(POSITIVE, 4), None, "codes 0 to 3, found 4"),
        (column(UNCERTAIN), np.array([[0.2], [0.3]]), r"the shape \(1, 1\)"),
        (column(UNCERTAIN, UNCERTAIN), np.array([[0.2], [1.1]]), "0.2 to 1.1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(states, soft, says):
    with pytest.raises(DataDefect, match=says):
        training_targets(states, ["edema"], spec_of("self_trained"), seed=1, soft=soft)


@settings(deadline=None)
@given(
    codes=st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=30),
    policies=st.lists(
        st.sampled_from(("zeros", "ones", "ignore", "multi_class", "smoothed_ones")), min_size=3, max_size=3
    ),
    unmentioned=st.sampled_from(("zeros", "ignore")),
)
def test_counts_after_a_policy_add_up_to_those_before(codes, policies, unmentioned):
    findings = ("edema", "mass", "nodule")
    spec = LabelSpec(uncertain_by_finding=dict(zip(findings, policies, strict=True)), unmentioned=unmentioned)
    for found in label_counts(np.array(codes, np.uint8), findings, spec).values():
        before, after = found["before"], found["after"]
        assert sum(before.values()) == sum(after.values()) == len(codes)
        assert after["positive"] == before["positive"] + before["uncertain"] * (found["policy"] == "ones")
        assert after["third_class"] == before["uncertain"] * (found["policy"] == "multi_class")
        is_masked = before["unmentioned"] * (unmentioned == "ignore") + before["uncertain"] * (
            found["policy"] == "ignore"
        )
        assert after["masked"] == is_masked


def test_policy_table_shows_counts_before_and_after():
    states = np.array([[POSITIVE, UNCERTAIN], [UNCERTAIN, UNCERTAIN], [UNMENTIONED, NEGATIVE]], np.uint8)
    spec = LabelSpec(uncertain_by_finding={"edema": "ones", "mass": "self_trained"})
    title, *lines = policy_table(states, ["edema", "mass"], spec).splitlines()
    assert title == "labels of 3 training images; not mentioned is taken as negative"
    assert len({len(line) for line in lines}) == 1  # columns stand under their names
    before, after = "positive negative uncertain unmentioned", "positive negative soft third class masked"
    assert [" ".join(line.split()) for line in lines] == [
        f"finding uncertain as {before} -> {after}",
        "edema ones 1 0 1 1 -> 2 1 0 0 0",
        "mass self_trained 0 1 2 0 -> 0 1 0 0 2",
    ]
    soft = np.array([[NAN, 0.4], [NAN, NAN], [NAN, NAN]])
    targets = training_targets(states, ["edema", "mass"], spec, seed=1, soft=soft)
    after = label_counts(states, ["edema", "mass"], spec, targets)["mass"]["after"]
    assert after == {"positive": 0, "negative": 1, "soft": 1, "third_class": 0, "masked": 1}


def test_plain_labels_are_targets_and_states_as_they_stand():
    plain = np.array([[1.0, NAN], [0.0, 1.0]])
    assert states_of(plain).tolist() == [[POSITIVE, UNCERTAIN], [NEGATIVE, POSITIVE]]
    made = Targets.of_labels(plain)
    np.testing.assert_array_equal(made.values, plain.astype(np.float32))
    assert not made.is_uncertain.any()
    with pytest.raises(DataDefect, match="expected 0, 1 or NaN, found 0.5 and 1 more"):
        states_of(np.array([[0.5, 2.0]]))


def test_split_without_need_for_a_first_model_never_asks_for_it(tmp_path):
    from types import SimpleNamespace

    spec = dataclasses.replace(spec_of("self_trained"), first_model="models:/nowhere/1")
    certain = SimpleNamespace(states=column(POSITIVE, UNMENTIONED))
    targets = label_treatment.split_targets(certain, ["edema"], spec, seed=1, folder=tmp_path)
    assert targets.values[:, 0].tolist() == [1, 0] and not list(tmp_path.iterdir())
