"""Nothing that tells mode, size or aspect of the original survives in what is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.installation.storage.paths import RunPaths
from tests.prepare.conftest import encoded

pytestmark = pytest.mark.tf

SPECS = st.builds(PixelSpec, size_px=st.sampled_from([16, 24, 33]), fit=st.sampled_from(["stretch", "crop"]))


def forms(grey: np.ndarray) -> dict[str, bytes]:
    """One grey picture (uint8) in every lossless form that sources use."""
    picture = Image.fromarray(grey)
    rgba = picture.convert("RGBA")
    rgba.putalpha(Image.fromarray(255 - grey))
    palette = Image.fromarray(255 - grey, "P")
    palette.putpalette([level for level in reversed(range(256)) for _ in range(3)])
    return {
        "grey": encoded(picture, "PNG"),
        "rgb": encoded(picture.convert("RGB"), "PNG"),
        "rgba, some of it clear": encoded(rgba, "PNG"),
        "grey and alpha": encoded(picture.convert("LA"), "PNG"),
        "palette in an odd order": encoded(palette, "PNG"),
        "16 bits": encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"),
        "bmp": encoded(picture, "BMP"),
        "rgb bmp": encoded(picture.convert("RGB"), "BMP"),
    }


def stored(content: bytes, spec: PixelSpec) -> np.ndarray:
    from cxr_tasks.images.pixels import standard_pixels

    return standard_pixels(content, spec).numpy()[..., 0]


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 10_000), spec=SPECS)
def test_the_same_picture_gives_the_same_pixels_in_every_mode(height, width, seed, spec):
    grey = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    # A file of 16 bits is shown over the whole bits that its values take: of this picture over all of them.
    grey[0, 0] = 255
    pixels = {name: stored(content, spec) for name, content in forms(grey).items()}
    for name, found in pixels.items():
        assert np.array_equal(found, pixels["grey"]), name


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300), level=st.integers(0, 255), spec=SPECS)
def test_no_border_or_padding_tells_size_or_aspect(height, width, level, spec):
    picture = Image.new("L", (width, height), level)
    assert (stored(encoded(picture, "PNG"), spec) == level).all()


@pytest.mark.parametrize("fit", ["stretch", "crop"])
@pytest.mark.parametrize("factor", [2, 3, 5])
def test_an_enlarged_copy_gives_nearly_the_same_pixels(fit, factor):
    # Smooth, as X-rays are at the scale that is stored.
    y, x = np.mgrid[0:200, 0:240]
    grey = (128 + 60 * np.sin(x / 25) + 50 * np.cos(y / 30)).round().astype(np.uint8)
    large = Image.fromarray(grey).resize((240 * factor, 200 * factor), Image.Resampling.BICUBIC)
    spec = PixelSpec(size_px=64, fit=fit)
    one, other = (stored(encoded(picture, "PNG"), spec) for picture in (Image.fromarray(grey), large))
    difference = one.astype(int) - other
    assert abs(difference).max() <= 1 and abs(difference.mean()) < 0.15


def test_two_datasets_of_the_same_pictures_in_other_forms_are_stored_byte_for_byte_the_same(
    cxr_home, tmp_path, image_folder, make_manifest, validated
):
    import dataclasses

    import tensorflow as tf

    from cxr_tasks.contracts.recipes import load_recipe
    from cxr_tasks.prepare.stage import prepare_dataset

    recipe = dataclasses.replace(load_recipe("synthetic_binary"), pixels=PixelSpec(size_px=16))
    other = tmp_path / "other"
    other.mkdir()
    for number, file in enumerate(sorted(image_folder.glob("*.png"))):
        every_form = list(forms(np.asarray(Image.open(file))).values())
        (other / file.name).write_bytes(every_form[1 + number % (len(every_form) - 1)])
    records = []
    for root in (image_folder, other):
        prepared = prepare_dataset(validated(root, make_manifest(root)), recipe, RunPaths.for_run("d", root.name))
        shards = sorted(str(file) for file in Path(prepared.folder).glob("*.tfrecord*"))
        records.append([one.numpy() for one in tf.data.TFRecordDataset(shards)])
    assert records[0] == records[1] and len(records[0]) == 12
