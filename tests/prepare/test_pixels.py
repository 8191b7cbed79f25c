"""The same pixels wherever they are made: eager, tf.data, a compiled function, a SavedModel."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.images.version import PREPARE_VERSION

pytestmark = pytest.mark.tf

#: sha256 of the stored pixels of all golden files at 32 px; a change here needs a new PREPARE_VERSION.
GOLDEN_PIXELS = dict.fromkeys((1, 2, 3), "e57e35dfd6102c018e6a95d47a7b85287dec3b7ed5b9f030ef36fb97e4b30843")


def pillow_grey(content: bytes) -> np.ndarray:
    """Grey values in [0, 255] by Pillow, the independent reader."""
    image = Image.open(io.BytesIO(content))
    if image.mode.startswith("I"):
        return np.asarray(image) / 257
    return np.asarray(image.convert("L")).astype(np.float64)


def test_decoded_grey_equals_pillows_for_every_kind_of_file(golden_files):
    from cxr_tasks.images.pixels import decode_grey

    for name, content in golden_files.items():
        ours = decode_grey(content).numpy()
        theirs = pillow_grey(content)
        assert ours.shape == (*theirs.shape, 1), name
        # 16 bits as float32 leave 8e-6 of a grey level; everything else is exact.
        assert np.abs(ours[..., 0] - theirs).max() < 1e-4, name


def test_16_bit_values_keep_their_fractions():
    from cxr_tasks.images.pixels import decode_grey

    stream = io.BytesIO()
    Image.fromarray(np.array([[0, 100, 257, 65535]], np.uint16)).save(stream, "PNG")
    assert decode_grey(stream.getvalue()).numpy().ravel() == pytest.approx([0, 100 / 257, 1, 255])


def test_stretch_keeps_the_whole_picture_and_crop_the_centre():
    from cxr_tasks.images.pixels import to_square

    wide = np.zeros((10, 30, 1), np.float32)
    wide[:, 10:20] = 200  # the middle third
    stretched = to_square(wide, PixelSpec(size_px=30)).numpy()[..., 0]
    cropped = to_square(wide, PixelSpec(size_px=16, fit="crop")).numpy()[..., 0]
    assert stretched[:, 0].max() == 0 and stretched[:, 15].min() == 200
    assert cropped.min() == cropped.max() == 200


def test_shrinking_is_antialiased():
    from cxr_tasks.images.pixels import to_square

    stripes = np.zeros((256, 256, 1), np.float32)
    stripes[:, ::2] = 255  # finer than the result can show: the mean must remain, not stripes
    small = to_square(stripes, PixelSpec(size_px=32)).numpy().astype(int)
    assert np.ptp(small[:, 1:-1]) <= 1  # the outermost columns see half a window, of another mean


@pytest.mark.parametrize("spec", [PixelSpec(size_px=32), PixelSpec(size_px=48, fit="crop")])
def test_bare_dataset_function_and_saved_model_give_equal_pixels(golden_files, spec, tmp_path):
    _same_everywhere(list(golden_files.values()), spec, tmp_path)


@pytest.mark.data
def test_real_x_rays_give_equal_pixels_everywhere(shared_data, tmp_path):
    files = [
        *sorted((shared_data / "raw_samples").rglob("*.*")),
        *sorted((shared_data / "kermany" / "test").rglob("*.jpeg"))[::30],
        *sorted((shared_data / "nih14" / "images").glob("*.png"))[::200],
    ]
    assert len(files) > 20
    _same_everywhere([file.read_bytes() for file in files], PixelSpec(size_px=128), tmp_path)


def _same_everywhere(contents: list[bytes], spec: PixelSpec, tmp_path: Path) -> None:
    import tensorflow as tf

    from cxr_tasks.images.batches import batch_pixels
    from cxr_tasks.images.pixels import standard_pixels

    bare = np.stack([standard_pixels(tf.constant(one), spec).numpy() for one in contents])
    assert bare.dtype == np.uint8
    dataset = tf.data.Dataset.from_tensor_slices(contents).map(lambda one: standard_pixels(one, spec), 2).batch(3)
    assert np.array_equal(np.concatenate(list(dataset.as_numpy_iterator())), bare)

    class Served(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
        def serve(self, image_bytes):
            return {"images": batch_pixels(image_bytes, spec)}

    module = Served()
    expected = bare.astype(np.float32) * np.float32(1 / 255)
    assert np.array_equal(module.serve(tf.constant(contents))["images"], expected)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.serve})
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    assert np.array_equal(served(image_bytes=tf.constant(contents))["images"], expected)


def test_no_images_are_an_empty_batch_eager_and_compiled():
    import tensorflow as tf

    from cxr_tasks.images.batches import batch_pixels

    spec = PixelSpec(size_px=32)
    compiled = tf.function(lambda x: batch_pixels(x, spec), input_signature=[tf.TensorSpec((None,), tf.string)])
    none = tf.constant([], tf.string)
    assert batch_pixels(none, spec).shape == compiled(none).shape == (0, 32, 32, 1)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0 cut off"])
def test_bytes_that_are_no_image_are_refused(content):
    import tensorflow as tf

    from cxr_tasks.images.pixels import standard_pixels

    with pytest.raises(tf.errors.InvalidArgumentError):
        standard_pixels(tf.constant(content), PixelSpec(size_px=32))


def test_stored_pixels_change_only_with_the_version(golden_files):
    from cxr_tasks.images.pixels import standard_pixels

    digest = hashlib.sha256()
    for name in sorted(golden_files):
        if not name.startswith("jpeg"):  # encoders differ between Pillow's builds; those are held against Pillow above
            digest.update(standard_pixels(golden_files[name], PixelSpec(size_px=32)).numpy().tobytes())
    assert digest.hexdigest() == GOLDEN_PIXELS[PREPARE_VERSION]
