from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.datasets.load import StoredSplit
from cxr_tasks.evaluate.typicality.measure import kinds_for, measure_typicality
from cxr_tasks.evaluate.typicality.strange import ALTERED, MADE, altered, made

pytestmark = pytest.mark.tf  # datasets.load imports it


def grey_chests(n: int, seed: int, images_per_patient: int = 2) -> StoredSplit:
    """Bright above, dark below, with noise: what turning and inverting change."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(200, 40, 32)[None, :, None, None]
    images = np.clip(ramp + rng.normal(0, 8, (n, 32, 32, 1)) + rng.normal(0, 10, (n, 1, 1, 1)), 0, 255)
    keys = [f"{seed}/{number // images_per_patient}" for number in range(n)]
    return StoredSplit(pd.DataFrame({"patient_key": keys}), images.astype(np.uint8), np.zeros((n, 1), np.float32))


def rows_and_columns(images: np.ndarray) -> np.ndarray:
    """Mean of each row and of each column, as features."""
    grey = images[..., 0] / 255.0
    return np.concatenate([grey.mean(2), grey.mean(1)], axis=1)


@pytest.fixture(scope="module")
def stored() -> dict[str, StoredSplit]:
    return {"train": grey_chests(200, 0), "validation": grey_chests(120, 1), "test": grey_chests(300, 2)}


@pytest.fixture(scope="module")
def measured(stored):
    return measure_typicality(rows_and_columns, stored, "kermany", 0.95)


def test_every_kind_has_an_auroc_and_a_share_with_intervals(measured):
    records = {one.name: one for one in measured.records}
    kinds = (*ALTERED, *MADE)
    assert list(records) == ["unusual_test", *(name for kind in kinds for name in (kind, f"unusual_{kind}"))]
    for kind in kinds:
        one = records[kind]
        assert 0.95 < one.value <= 1.0, kind
        assert one.lower < one.value or one.value == one.lower == 1.0
        assert (one.n, one.n_positive) == (400, 200)
        assert records[f"unusual_{kind}"].value > 0.9
    # Images of one patient, and their altered copies, count as one patient.
    assert records["inverted"].n_patients == 150
    assert records["photographs"].n_patients == 152


def test_few_of_the_test_images_are_called_unusual(measured):
    share = measured.records[0]
    assert (share.name, share.n, share.n_patients) == ("unusual_test", 300, 150)
    assert share.value < 0.05
    assert share.lower <= share.value <= share.upper


def test_features_that_do_not_see_what_was_changed_show_it(stored):
    found = measure_typicality(lambda images: images.mean((1, 2)) / 255.0, stored, "kermany", 0.95)
    turned = next(one for one in found.records if one.name == "quarter_turn")
    assert turned.value == pytest.approx(0.5, abs=0.02)


def test_drawn_x_rays_are_strange_to_a_model_of_real_ones_only():
    assert "phantoms" in kinds_for("nih")
    assert "phantoms" not in kinds_for("synthetic")


def test_too_few_images_leave_it_out_with_the_reason(stored):
    found = measure_typicality(rows_and_columns, {**stored, "validation": grey_chests(8, 1)}, "kermany", 0.95)
    assert (found.fitted, found.records) == (None, ())
    assert "30 validation images, 8 are there" in found.reason


def test_altered_images_are_what_they_say_and_made_ones_the_same_each_time(stored):
    images = stored["test"].images[:3]
    np.testing.assert_array_equal(altered("inverted", altered("inverted", images)), images)
    turned = images
    for _ in range(4):
        turned = altered("quarter_turn", turned)
    np.testing.assert_array_equal(turned, images)
    np.testing.assert_array_equal(altered("upside_down", images)[:, 0], images[:, -1])
    for kind in MADE:
        first, whose = made(kind, 4, 48)
        assert (first.shape, first.dtype, len(whose)) == ((4, 48, 48, 1), np.uint8, 4)
        np.testing.assert_array_equal(first, made(kind, 4, 48)[0])
        assert first.std() > 5
