from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.datasets.leaks import overlap_of


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def content(*names, **columns):
    """One row per name: its own file, pixels, look and patient unless ``columns`` say otherwise."""
    return pd.DataFrame(
        {
            "image_id": list(names),
            "split": "test",
            "source": "nih",
            "patient_key": [f"patient {one}" for one in names],
            "patient_scheme": "s1",
            "file_sha256": [digest(f"file {one}") for one in names],
            "pixel_hash": [digest(f"pixels {one}")[:32] for one in names],
            "perceptual_hash": [digest(f"look {one}") for one in names],
            **columns,
        }
    )


def flipped(text, n_bits):
    """A perceptual hash with its first ``n_bits`` bits changed."""
    return f"{int(text, 16) ^ ((1 << 256) - (1 << 256 - n_bits)):064x}"


NOTHING = content("x", "y", source="elsewhere")


@pytest.mark.parametrize(
    ("what", "seen"),
    [
        ("by_file", content("other", file_sha256=digest("file b"))),
        ("by_pixels", content("other", pixel_hash=digest("pixels b")[:32])),
        ("by_look", content("other", perceptual_hash=flipped(digest("look b"), 24))),
        ("by_patient", content("other", patient_key="patient b")),
    ],
)
def test_an_image_is_known_by_each_of_what_it_is(what, seen):
    found = overlap_of(content("a", "b", "c"), pd.concat([NOTHING, seen]))
    assert found.is_seen.tolist() == [False, True, False]
    assert getattr(found, what).tolist() == [False, True, False]


def test_images_that_were_not_seen_are_not():
    found = overlap_of(content("a", "b"), pd.concat([NOTHING, content("c", perceptual_hash=digest("look c"))]))
    assert (found.n_seen, found.n_without_patient, found.n_without_pixels) == (0, 0, 0)
    assert found.sentence("test images", "champion 3") == (
        "0 of 2 test images are of images or patients that champion 3 was trained on."
    )
    far = content("other", perceptual_hash=flipped(digest("look b"), 25))
    assert overlap_of(content("a", "b"), far).n_seen == 0


def test_of_a_model_that_has_seen_nothing_nothing_was_seen():
    assert overlap_of(content("a", "b"), NOTHING.iloc[:0]).n_seen == 0


def test_patient_one_of_two_sources_is_two_patients():
    assert overlap_of(content("a"), content("z", source="chexpert", patient_key="patient a")).n_seen == 0


def test_keys_of_another_salt_are_said_not_to_compare():
    found = overlap_of(content("a", "b"), content("z", patient_key="patient a", patient_scheme="s2"))
    assert (found.n_seen, found.n_without_patient) == (0, 2)
    assert "Not compared: the patients of 2 images, whose keys were made with another salt" in found.sentence("x", "y")


def test_a_dataset_that_kept_no_hashes_of_pixels_is_said_not_to_compare():
    old = content("z", "b", pixel_hash="", perceptual_hash="", patient_key="nobody")
    found = overlap_of(content("a", "b"), old)
    assert found.is_seen.tolist() == [False, True]  # by its file
    assert "the pixels of 2 images, of which no hash was kept" in found.sentence("test images", "the model")


def test_each_image_is_counted_under_the_plainest_way_it_is_known_by():
    seen = pd.concat(
        [content("a"), content("z", pixel_hash=digest("pixels b")[:32]), content("q", patient_key="patient c")]
    )
    sentence = overlap_of(content("a", "b", "c", "d"), seen).sentence("test images", "it")
    assert sentence == (
        "3 of 4 test images are of images or patients that it was trained on: 1 by the same file, 1 by the same pixels "
        "in another file, 1 by another image of a patient."
    )


def test_many_images_take_seconds():
    names = [f"{number}" for number in range(20_000)]
    found = overlap_of(content(*names[:5_000]), content(*names[4_990:], patient_key="nobody"))
    assert np.flatnonzero(found.is_seen).tolist() == list(range(4_990, 5_000))
