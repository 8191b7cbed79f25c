from __future__ import annotations

import pytest

from cxr_tasks.reproduce.equality import Difference, differences, first_other_epoch, is_auroc, outcome_of
from tests.evaluations import make_evaluation, make_record


def made_metrics(auroc=0.9, brier=0.1, **ridge):
    def record(name, value):
        return {**make_record(name, value), "lower": None, "upper": None}

    return make_evaluation(
        {"pneumonia": {"metrics": {"test": [record("brier_after", brier)]}}},
        mean={"test": [record("auroc", auroc)]},
        baselines=[
            {"name": name, "description": "", "metrics": [record("auroc", value)]} for name, value in ridge.items()
        ],
    )


def test_only_what_differs_is_named_with_its_size():
    found = differences(made_metrics(auroc=0.9), made_metrics(auroc=0.875, brier=None))
    assert [(one.name, one.recorded, one.reproduced) for one in found] == [
        ("test_auroc", 0.9, 0.875),
        ("test_brier_after", 0.1, None),
    ]
    assert [one.size for one in found] == [pytest.approx(-0.025), None]
    assert differences(made_metrics(), made_metrics()) == []


def test_the_last_bit_counts():
    (found,) = differences(made_metrics(auroc=0.1 + 0.2), made_metrics(auroc=0.3))
    assert found.name == "test_auroc"


@pytest.mark.parametrize(
    ("changed", "same_rows", "outcome"),
    [
        ({}, True, "equal"),
        ({}, False, "different"),
        ({"brier": 0.4}, True, "close"),          # hangs on a threshold or on calibration
        ({"auroc": 0.905}, True, "close"),        # just within
        ({"auroc": 0.894}, True, "different"),
        ({"auroc": None}, True, "different"),     # not assessable any more
        ({"ridge_32px": 0.5}, True, "close"),     # not of the model
    ],
)  # fmt: skip
def test_the_outcome_hangs_on_the_models_aurocs(changed, same_rows, outcome):
    found = differences(made_metrics(ridge_32px=0.7), made_metrics(**({"ridge_32px": 0.7} | changed)))
    assert outcome_of(found, same_rows=same_rows, tolerance=0.00501) == outcome


def test_aurocs_are_told_from_their_bounds_and_from_other_numbers():
    names = ["validation_auroc", "test_auroc_patient_bootstrap", "test_auroc_upper", "test_brier_after", "auroc"]
    assert [one for one in names if is_auroc(one)] == ["validation_auroc", "test_auroc_patient_bootstrap"]
    assert Difference(name="test_auroc", recorded=None, reproduced=1.0).size is None


def test_the_first_epoch_that_went_otherwise():
    history = [{"epoch": one, "loss": 1 / one, "val_loss": 1.0, "val_auroc": 0.5, "seconds": one} for one in (1, 2, 3)]
    other = [*history[:2], {**history[2], "loss": 0.3}]
    assert first_other_epoch(history, [{**one, "seconds": 9} for one in history]) is None
    assert first_other_epoch(history, other) == 3
    assert first_other_epoch(history, history[:1]) == 2
