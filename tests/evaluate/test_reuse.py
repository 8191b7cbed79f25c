"""Which look at a test split it is: by what the images are, not by what the dataset is called."""

from __future__ import annotations

import hashlib

import pandas as pd
import pytest
from scipy.stats import norm

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.evaluate.reuse import best_of, record_test_read, reuse_remark
from cxr_tasks.installation.storage.paths import audit_log
from cxr_tasks.registry.audit import trail


def rows(first, last, **columns):
    """Test rows of an index whose images are numbered from ``first`` up to ``last``."""
    made = {"file_sha256": [hashlib.sha256(f"file {one}".encode()).hexdigest() for one in range(first, last)]}
    return pd.DataFrame({**made, **columns})


def look(images, model, *, dataset="kermany", purpose="evaluate", who="airflow"):
    return record_test_read(
        images, purpose=purpose, model_name="cxr_binary", version=None, model_sha256=model * 64, dataset=dataset,
        fingerprint="ef" * 32, who=who,
    )  # fmt: skip


def test_models_are_counted_in_the_order_of_their_first_look(cxr_home):
    images = rows(0, 50)
    assert [look(images, model).number for model in "abac"] == [1, 2, 1, 3]
    kept = trail.entries("cxr_binary")
    assert [one.kind for one in kept] == ["test_read"] * 3  # a task that is tried again leaves no second line
    assert kept[0].why == f"evaluate: 50 test images of kermany, model {'a' * 12}"
    assert trail.verify() == []


@pytest.mark.parametrize(
    ("other", "number"),
    [
        (rows(0, 50), 2),  # the same images by another dataset's name
        (rows(0, 80), 2),  # the test split has grown
        (rows(40, 50), 2),  # a part of it
        (rows(50, 99), 1),  # other images
    ],
)
def test_images_are_known_by_what_they_are(cxr_home, other, number):
    look(rows(0, 50), "a")
    assert look(other, "b", dataset="renamed").number == number


def test_images_in_other_files_are_known_by_their_pixels(cxr_home):
    pixels = [f"{one:032x}" for one in range(1, 11)]
    look(rows(0, 10, pixel_hash=pixels), "a")
    assert look(rows(100, 110, pixel_hash=pixels), "b").number == 2


def test_a_champion_and_a_model_from_elsewhere_count_and_a_reproduction_does_not(cxr_home):
    images = rows(0, 50)
    assert look(images, "a").number == 1
    assert look(images, "b", purpose="reproduce").number == 2  # the next, and it leaves the place free
    assert look(images, "c", purpose="champion").number == 2
    assert look(images, "d", purpose="elsewhere").number == 3


def test_a_look_that_cannot_be_noted_does_not_take_place(cxr_home):
    audit_log().parent.mkdir(parents=True)
    audit_log().symlink_to("/dev/null")
    with pytest.raises(ConfigurationError, match="expected a plain file, found a link"):
        look(rows(0, 5), "a")


def make_auroc(**given):
    return MetricRecord(name="auroc", finding="mean", split="test", n=300, **given)


def test_the_sentence_says_what_it_does_to_the_claim(cxr_home):
    images, auroc = rows(0, 300), make_auroc(value=0.9, lower=0.88, upper=0.92)
    first = reuse_remark(look(images, "a"), auroc, 0.95)
    assert "first model measured on these 300 test images" in first.sentence and first.name == "test_reuse"
    for model in "bcd":
        look(images, model)
    fifth = reuse_remark(look(images, "e"), auroc, 0.95).sentence
    assert fifth.startswith("Model number 5 measured on these 300 test images, by the record of this installation.")
    assert "of 5 equally good ones by up to 0.011 in the mean" in fifth
    assert "With Bonferroni's correction for 5 its lower end is 0.873 instead of 0.880" in fifth
    unmeasured = reuse_remark(look(images, "e"), make_auroc(value=None, reason="3 positives"), 0.95).sentence
    assert "Model number 5" in unmeasured and "Bonferroni" not in unmeasured


@pytest.mark.parametrize(("n", "expected"), [(1, 0.0), (2, 0.5642), (5, 1.1630), (10, 1.5388)])
def test_the_largest_of_several_is_where_tables_have_it(n, expected):
    """Expected largest of n standard normal values, as tables give it (Harter, Biometrika 48, 1961)."""
    # Near one half and with a narrow interval the logit scale is straight: an error there is four times as large.
    excess, lower = best_of(n, 0.5, 0.499, 0.95)
    deviation = 0.001 / norm.isf(0.025)
    assert excess / deviation == pytest.approx(expected, abs=0.002)
    assert (0.5 - lower) / deviation == pytest.approx(norm.isf(0.025 / n), abs=0.01)


@pytest.mark.parametrize(("value", "lower"), [(1.0, 0.98), (1.0, 1.0), (0.5, 0.0)])
def test_at_the_edge_nothing_is_made_up(value, lower):
    assert best_of(3, value, lower, 0.95) == (0.0, lower)
