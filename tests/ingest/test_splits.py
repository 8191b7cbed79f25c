from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.specs import SplitSpec
from cxr_tasks.ingest.grouping.splits import assign_splits

SPEC = SplitSpec(salt="2026-11", validation=0.2)


def make_images(n_patients, *, images_each=1, official="train", first=0):
    """Images of patients ``p0``, ``p1``, ...; every third patient is well."""
    patients = [f"p{number}" for number in range(first, first + n_patients) for _ in range(images_each)]
    state = ["negative" if int(one[1:]) % 3 == 0 else "positive" for one in patients]
    return pd.DataFrame({"patient_id": patients, "official_split": official, "label_pneumonia": state})


def split_of(images, spec=SPEC, pictures=None, previous=None):
    return assign_splits(
        images["patient_id"], images["official_split"], images[["label_pneumonia"]], spec, pictures, previous
    )


def of_patients(images, split):
    """Patient id -> split, as ``previous_splits`` gives it."""
    return split.groupby(images["patient_id"]).first()


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


def test_one_picture_stays_together_on_the_side_of_test():
    images = pd.concat([make_images(100), make_images(2, official="test", first=100)], ignore_index=True)
    pictures = pd.Series("", index=images.index)
    pictures[[5, 100]] = "a.png"  # p5 (train) shows the picture of p100 (test)
    split = split_of(images, pictures=pictures)
    assert split[5] == "test"
    assert split_of(images)[5] != "test"


def test_patients_linked_over_several_pictures_are_dealt_as_one():
    images = make_images(60, images_each=2)
    pictures = pd.Series("", index=images.index)
    pictures[[0, 2]], pictures[[3, 5]] = "a.png", "b.png"  # p0 = p1, p1 = p2
    split = split_of(images, pictures=pictures)
    assert split[:6].nunique() == 1


def test_validation_without_a_class_gets_the_patient_whose_hash_is_nearest(caplog):
    images = make_images(12)
    images["label_pneumonia"] = ["negative"] * 10 + ["positive"] * 2
    with caplog.at_level(logging.INFO):
        split = split_of(images, SplitSpec(salt="x", validation=0.01))  # the hash alone gives validation nobody
    states = images.loc[split == "validation", "label_pneumonia"]
    assert sorted(states) == ["negative", "positive"]
    assert "validation: no image is positive label_pneumonia by hash; one new patient moved there" in caplog.text
    assert {"negative", "positive"} == set(images.loc[split == "train", "label_pneumonia"])


def test_the_last_patient_of_a_class_is_not_taken_from_train():
    images = make_images(12)
    images["label_pneumonia"] = ["negative"] + ["positive"] * 11
    split = split_of(images, SplitSpec(salt="x", validation=0.01))
    assert split[0] == "train"


patients = st.lists(st.integers(0, 400), min_size=30, max_size=120)


def drawn_images(numbers, rng, official=("train", "validation", "test")):
    images = pd.DataFrame({"patient_id": [f"p{number}" for number in numbers]})
    images["official_split"] = rng.choice(official, len(images))
    images["label_pneumonia"] = rng.choice(["positive", "negative", "uncertain"], len(images))
    return images


@settings(max_examples=40, deadline=None)
@given(numbers=patients, seed=st.integers(0, 1000))
def test_no_patient_and_no_picture_is_ever_in_two_splits(numbers, seed):
    rng = np.random.default_rng(seed)
    images = drawn_images(numbers, rng)
    pictures = pd.Series([f"h{number}" for number in rng.integers(0, 3 * len(images), len(images))])
    previous = pd.Series({f"p{number}": rng.choice(["train", "validation", "test"]) for number in range(0, 400, 2)})
    split = split_of(images, pictures=pictures, previous=previous)
    assert split.groupby(images["patient_id"]).nunique().max() == 1
    assert split.groupby(pictures).nunique().max() == 1
    assert (split[images["official_split"] == "test"] == "test").all()


@settings(max_examples=60, deadline=None)
@given(
    old=patients,
    new=st.lists(st.integers(401, 800), max_size=120),
    seed=st.integers(0, 1000),
    test=st.sampled_from([0.0, 0.2]),
    official=st.sampled_from([("",), ("train", "validation"), ("train", "validation", "test")]),
)
def test_a_patient_keeps_its_split_when_others_are_added(old, new, seed, test, official):
    rng, spec = np.random.default_rng(seed), SplitSpec(salt="s", validation=0.15, test=test)
    before, added = drawn_images(old, rng, official), drawn_images(new, rng, official)
    first = of_patients(before, split_of(before, spec))
    after = pd.concat([before, added], ignore_index=True)
    # Copies among the new patients link them to each other, and some to a known one, which they then follow.
    pictures = pd.Series([""] * len(before) + [f"h{number}" for number in rng.integers(0, 80, len(added))], dtype="str")
    if len(added) and "test" not in official:
        pictures[0] = pictures[len(before)]
    second = of_patients(after, split_of(after, spec, pictures, previous=first))
    assert second[first.index].tolist() == first.tolist()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_split_does_not_depend_on_order(seed):
    images = make_images(150, images_each=2)
    shuffled = images.sample(frac=1, random_state=seed)
    assert split_of(shuffled).sort_index().tolist() == split_of(images).tolist()


def test_a_new_copy_moves_the_weaker_of_two_known_patients_and_says_so(caplog):
    images = make_images(4)
    previous = pd.Series({"p0": "train", "p1": "validation", "p2": "test", "p3": "train"})
    spec = SplitSpec(salt="s", validation=0.2, test=0.2)
    assert split_of(images, spec, previous=previous).tolist() == ["train", "validation", "test", "train"]
    pictures = pd.Series(["a", "a", "b", "b"])
    with caplog.at_level(logging.WARNING):
        split = split_of(images, spec, pictures, previous)
    assert split.tolist() == ["validation", "validation", "test", "test"]
    assert "2 patients of the last version changed split" in caplog.text
    assert "2 share a picture with a patient of another split" in caplog.text


def test_the_official_test_split_moves_known_patients_both_ways_and_says_so(caplog):
    images = make_images(4)
    images["official_split"] = ["test", "train", "train", "train"]
    previous = pd.Series({"p0": "train", "p1": "test", "p2": "train", "p3": "validation"})
    with caplog.at_level(logging.WARNING):
        split = split_of(images, previous=previous)
    assert split[0] == "test" and split[1] != "test" and split[2:].tolist() == ["train", "validation"]
    assert (
        "2 patients of the last version changed split: 1 are in the official test split now, 1 are there no more"
        in (caplog.text)
    )


def test_a_previous_split_of_another_name_is_refused():
    with pytest.raises(DataDefect, match="expected train, validation, test, found 'val'"):
        split_of(make_images(4), previous=pd.Series({"p0": "val"}))


def test_another_salt_deals_anew():
    images = make_images(200)
    assert split_of(images).tolist() != split_of(images, SplitSpec(salt="other", validation=0.2)).tolist()
