"""Counters of epochs and phases."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.train_specs import PhaseSpec, TrainSpec

pytestmark = pytest.mark.tf  # through the validation module

PHASES = (
    PhaseSpec(name="head", epochs=5, learning_rate=0.1, early_stopping_patience=2),
    PhaseSpec(name="rest", epochs=2, learning_rate=0.1),
)
SPEC = TrainSpec(network="residual_cnn", phases=PHASES)


def make_progress(scores, spec=SPEC):
    from cxr_tasks.train.loop.progress import Progress

    progress = Progress()
    for score in scores:
        progress.enter({"val_score": score, "val_loss": 1.0})
    return progress


@pytest.mark.parametrize(
    ("scores", "ended_by"),
    [
        ([0.5, 0.6], None),
        ([0.6, 0.5], None),
        ([0.6, 0.5, 0.6], "no better validation score for 2 epochs"),  # as good is not better
        ([0.1, 0.2, 0.3, 0.4, 0.5], ""),
    ],
)
def test_a_phase_ends_by_its_own_patience_or_with_its_last_epoch(scores, ended_by):
    progress = make_progress(scores)
    assert progress.end_of_phase(SPEC) == ended_by and not progress.is_over(SPEC)


def test_patience_starts_anew_with_a_phase_and_the_best_epoch_is_that_of_all():
    progress = make_progress([0.9, 0.8, 0.7])
    assert progress.end_of_phase(SPEC)
    progress.next_phase()
    assert progress.end_of_phase(SPEC) is None
    assert progress.enter({"val_score": 0.85, "val_loss": 1.0}) is False
    assert (progress.best_epoch, progress.phase_best_epoch, progress.phase_epochs) == (1, 4, 1)
    assert not progress.is_over(SPEC)
    assert progress.enter({"val_score": 0.95, "val_loss": 1.0}) is True
    assert progress.best_epoch == 5 and progress.is_over(SPEC) and progress.end_of_phase(SPEC) == ""


def test_a_stopped_run_is_over_in_any_phase():
    progress = make_progress([0.5])
    progress.stopped_by = "10 minutes have passed"
    assert progress.is_over(SPEC)
