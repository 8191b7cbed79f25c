"""Statistics of a split."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.prepare.index_rows import index_of
from cxr_tasks.prepare.split_statistics import PixelProfile, split_statistics


def test_pixel_profile_equals_numpy_over_all_pixels():
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)).astype(np.uint8)
    profile = PixelProfile()
    for image in images:
        assert profile.seen(image) is image
    found = profile.to_dict()
    assert found["n_images"] == 5
    assert found["mean"] == pytest.approx(images.mean() / 255)
    assert found["deviation"] == pytest.approx(images.std() / 255)
    assert found["quantiles"]["0.5"] == pytest.approx(np.median(images) / 255, abs=2 / 255)
    assert found["histogram"] == pytest.approx(np.histogram(images, 32, (0, 256))[0] / images.size)
    assert found["image_means"]["deviation"] == pytest.approx((images.mean((1, 2, 3)) / 255).std())


def test_statistics_count_what_is_there(image_folder, make_manifest):
    manifest = make_manifest(image_folder)
    manifest.loc[0, "label_pneumonia"] = "uncertain"
    index = index_of(manifest, "pneumonia", PixelSpec(size_px=16), salt="s", secret=bytes(32))
    found = split_statistics(index[index["split"] == "train"], "pneumonia", PixelProfile())
    assert (found["n_images"], found["n_patients"]) == (4, 2)
    assert found["labels"]["pneumonia"] == {
        "positive": 2, "negative": 1, "uncertain": 1, "unmentioned": 0, "positive_rate": pytest.approx(2 / 3),
    }  # fmt: skip
    assert found["sex"] == {"female": 2, "male": 2}
    assert found["age_years"] == {"n_known": 2, "mean": 31.0, "min": 31.0, "max": 31.0}
