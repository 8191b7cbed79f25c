from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.specs import SplitSpec
from cxr_tasks.prepare.splits import assign_splits

SPEC = SplitSpec(salt="2026-11", validation=0.2)


def make_images(n_patients, *, images_each=1, official="train", first=0):
    """Images of patients ``p0``, ``p1``, ...; every third patient is well."""
    patients = [f"p{number}" for number in range(first, first + n_patients) for _ in range(images_each)]
    state = ["negative" if int(one[1:]) % 3 == 0 else "positive" for one in patients]
    return pd.DataFrame({"patient_id": patients, "official_split": official, "label_pneumonia": state})


def split_of(images, spec=SPEC, pixels=None):
    return assign_splits(images["patient_id"], images["official_split"], images[["label_pneumonia"]], spec, pixels)


def test_official_test_stays_and_train_and_validation_are_pooled():
    images = pd.concat(
        [
            make_images(300, official="train"),
            make_images(30, official="validation", first=300),
            make_images(60, official="test", first=330),
        ],
        ignore_index=True,
    )
    split = split_of(images)
    assert (split[images["official_split"] == "test"] == "test").all()
    assert not (split[images["official_split"] != "test"] == "test").any()
    assert set(split[images["official_split"] == "validation"]) == {"train", "validation"}


def test_shares_hold_by_patients_in_the_mean():
    split = split_of(make_images(4000), SplitSpec(salt="s", validation=0.15, test=0.2))
    shares = split.value_counts(normalize=True)
    # Three standard deviations of a binomial share at n = 4000 are below 0.02.
    assert shares["test"] == pytest.approx(0.2, abs=0.02)
    assert shares["validation"] == pytest.approx(0.8 * 0.15, abs=0.02)


def test_without_official_test_and_test_share_there_is_no_test_split():
    assert set(split_of(make_images(200))) == {"train", "validation"}


def test_patient_in_train_and_test_goes_whole_to_test_and_is_counted(caplog):
    images = make_images(100, images_each=2)
    images.loc[0, "official_split"] = "test"  # first image of p0; its second is in train
    with caplog.at_level(logging.WARNING):
        split = split_of(images)
    assert split[images["patient_id"] == "p0"].tolist() == ["test", "test"]
    assert "1 images of 1 patients moved from official train or validation to test" in caplog.text


def test_equal_pixels_stay_together_on_the_side_of_test():
    images = pd.concat([make_images(100), make_images(2, official="test", first=100)], ignore_index=True)
    pixels = pd.Series([f"h{number}" for number in images.index])
    pixels[5] = pixels[100]  # p5 (train) shows the picture of p100 (test)
    split = split_of(images, pixels=pixels)
    assert split[5] == "test"
    assert split_of(images)[5] != "test"


def test_patients_linked_over_several_pictures_are_dealt_as_one():
    images = make_images(60, images_each=2)
    pixels = pd.Series([f"h{number}" for number in images.index])
    pixels[2], pixels[5] = pixels[0], pixels[3]  # p0 = p1, p1 = p2
    split = split_of(images, pixels=pixels)
    assert split[:6].nunique() == 1


def test_validation_without_a_class_gets_the_patient_whose_hash_is_nearest(caplog):
    images = make_images(12)
    with caplog.at_level(logging.INFO):
        split = split_of(images, SplitSpec(salt="x", validation=0.01))  # the hash alone gives validation nobody
    states = images.loc[split == "validation", "label_pneumonia"]
    assert sorted(states) == ["negative", "positive"]
    assert "validation: no positive image of label_pneumonia by hash" in caplog.text
    assert {"negative", "positive"} == set(images.loc[split == "train", "label_pneumonia"])


def test_the_last_patient_of_a_class_is_not_taken_from_train():
    images = make_images(12)
    images["label_pneumonia"] = ["negative"] + ["positive"] * 11
    split = split_of(images, SplitSpec(salt="x", validation=0.01))
    assert split[0] == "train"


patients = st.lists(st.integers(0, 400), min_size=30, max_size=120)


@settings(max_examples=40, deadline=None)
@given(numbers=patients, seed=st.integers(0, 1000))
def test_no_patient_and_no_picture_is_ever_in_two_splits(numbers, seed):
    rng = np.random.default_rng(seed)
    images = pd.DataFrame({"patient_id": [f"p{number}" for number in numbers]})
    images["official_split"] = rng.choice(["train", "validation", "test"], len(images))
    images["label_pneumonia"] = rng.choice(["positive", "negative"], len(images))
    pixels = pd.Series([f"h{number}" for number in rng.integers(0, 3 * len(images), len(images))])
    split = split_of(images, pixels=pixels)
    assert split.groupby(images["patient_id"]).nunique().max() == 1
    assert split.groupby(pixels).nunique().max() == 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), n_more=st.integers(1, 200))
def test_split_does_not_depend_on_order_and_stays_when_patients_are_added(seed, n_more):
    images = make_images(150, images_each=2)
    split = split_of(images)
    shuffled = images.sample(frac=1, random_state=seed)
    assert split_of(shuffled).sort_index().tolist() == split.tolist()
    more = pd.concat([images, make_images(n_more, first=150)], ignore_index=True)
    assert split_of(more)[: len(images)].tolist() == split.tolist()


def test_another_salt_deals_anew():
    images = make_images(200)
    assert split_of(images).tolist() != split_of(images, SplitSpec(salt="other", validation=0.2)).tolist()
