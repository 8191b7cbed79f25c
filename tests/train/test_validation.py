"""AUROC while training, exact, and the fixed stress."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import DataDefect

pytestmark = pytest.mark.tf

NAN = float("nan")


def by_pairs(is_positive, scores):
    wins = [(p > n) + 0.5 * (p == n) for p in scores[is_positive] for n in scores[~is_positive]]
    return float(np.mean(wins))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_auroc_is_the_share_of_pairs_in_order(rows):
    from cxr_tasks.train.loop.validation import mean_auroc

    labels = np.array([[float(label)] for label, _ in rows])
    scores = np.array([[float(score)] for _, score in rows])
    if labels.min() == labels.max():
        with pytest.raises(DataDefect, match="found none"):
            mean_auroc(labels, scores)
    else:
        assert mean_auroc(labels, scores) == pytest.approx(by_pairs(labels[:, 0] == 1, scores[:, 0]))


def test_unknown_labels_and_findings_of_one_class_are_left_out():
    from cxr_tasks.train.loop.validation import mean_auroc

    labels = np.array([[0, 1], [1, NAN], [NAN, 1], [1, 1]])
    scores = np.array([[0.2, 0.5], [0.1, 0.5], [0.9, 0.5], [0.8, 0.5]])
    assert mean_auroc(labels, scores) == 0.5  # 0.2 against 0.1 and 0.8; the second finding has no negative


def test_stressed_views_differ_from_the_images_and_repeat(make_split):
    from cxr_tasks.train.loop.validation import stressed_view

    images = make_split(70).images
    first = stressed_view(images, 0)
    assert first.shape == images.shape and first.dtype == np.uint8
    assert np.array_equal(first, stressed_view(images, 0))
    assert not np.array_equal(first, stressed_view(images, 1))
    assert (first != images).reshape(70, -1).any(axis=1).all()


def test_a_large_view_is_mapped_from_disk_with_the_same_pixels_and_leaves_no_file(make_split, tmp_path, monkeypatch):
    from cxr_tasks.train.loop import validation

    images = make_split(70).images
    in_memory = validation.stressed_view(images, 0, tmp_path)
    monkeypatch.setattr(validation, "LARGEST_VIEW_BYTES", images.nbytes - 1)
    mapped = validation.stressed_view(images, 0, tmp_path)
    assert isinstance(mapped, np.memmap) and not isinstance(in_memory, np.memmap)
    assert np.array_equal(mapped, in_memory) and list(tmp_path.iterdir()) == []


def test_a_score_has_the_images_as_they_are_apart_from_the_stressed(make_split, tmp_path):
    from cxr_tasks.train.loop.validation import Validator

    split = make_split(20)
    validator = Validator(split.images, split.labels, 2, tmp_path)
    assert len(validator.views) == 3 and np.array_equal(validator.views[0], split.images)
    right, wrong = split.labels, 1 - split.labels
    found = validator.score([right, wrong, right], loss=0.25)
    assert (found.auroc, found.auroc_stressed, found.loss) == (1.0, 0.5, 0.25)
    assert Validator(split.images, split.labels, 0, tmp_path).score([wrong], 1.0).score == 0.0


@pytest.mark.parametrize(
    ("score", "loss", "better"),
    [(0.91, 9.0, True), (0.9, 0.4, True), (0.9, 0.5, False), (0.89, 0.1, False)],
)
def test_of_equal_scores_the_lower_loss_is_better(score, loss, better):
    from cxr_tasks.train.loop.validation import is_better

    assert is_better(score, loss, best_score=0.9, best_loss=0.5) == better


def test_with_stress_the_score_is_the_mean_of_both():
    from cxr_tasks.train.loop.validation import ValidationScore

    assert ValidationScore(loss=1, auroc=1.0, auroc_stressed=0.8).score == pytest.approx(0.9)
