"""The real DICOM files, and the proof that one of them is a picture of the NIH set, by the platform's own pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.images.dicom import DicomRefused, dicom_as_png, read_dicom

pytestmark = pytest.mark.data

NIH_IMAGE = "nih14/images/00000002_000.png"


@pytest.fixture
def dicom_folder(shared_data):
    return shared_data / "dicom"


@pytest.fixture
def nih_dicom(dicom_folder):
    return next((dicom_folder / "chest").glob("nih_*.dcm")).read_bytes()


def reduced(content):
    return np.asarray(Image.fromarray(read_dicom(content).pixels).resize((256, 256), Image.Resampling.LANCZOS))


def test_the_chest_in_jpeg_2000(dicom_folder):
    image = read_dicom((dicom_folder / "chest" / "RG1_J2KI.dcm").read_bytes())
    assert (image.pixels.shape, image.pixels.dtype, image.bit_depth) == ((1955, 1841), np.uint16, 15)
    header = image.header
    assert (header.modality, header.body_part, header.view, header.sex) == ("CR", "CHEST", "pa", "female")
    # MONOCHROME1: the mediastinum is lighter than the lungs only after the inversion.
    spine, lung = image.pixels[800:1200, 860:960], image.pixels[700:900, 600:700]
    assert spine.mean() > 1.1 * lung.mean()


def test_the_chest_of_nih(nih_dicom):
    image = read_dicom(nih_dicom)
    assert (image.pixels.shape, image.pixels.dtype, image.bit_depth) == ((1024, 1024), np.uint8, 8)
    header = image.header
    assert (header.modality, header.body_part, header.view) == ("DX", "", "unknown")
    assert (header.sex, header.age_years) == ("male", 81.0)  # written "81", without its unit


def test_the_leg_is_refused_by_its_body_part(dicom_folder):
    for function in (read_dicom, dicom_as_png):
        with pytest.raises(DicomRefused, match="EXTREMITY") as caught:
            function((dicom_folder / "not_chest" / "RG3_J2KI.dcm").read_bytes())
        assert caught.value.reason == "wrong_body_part"


def test_the_nih_dicom_is_the_nih_picture_reduced(nih_dicom, shared_data):
    """Reduced as those of the shared data were, to 256 pixels by Lanczos, the two are equal in every pixel."""
    theirs = np.asarray(Image.open(shared_data / NIH_IMAGE))
    assert np.array_equal(reduced(nih_dicom), theirs)


@pytest.mark.tf
def test_both_give_the_same_pixels_by_the_platform_s_own_definition(nih_dicom, shared_data):
    """Equal when reduced alike; taken from the full 1024 pixels, as different as two ways to reduce are."""
    from cxr_tasks.images.pixels import standard_pixels

    spec = PixelSpec(size_px=256, fit="stretch")
    theirs = standard_pixels((shared_data / NIH_IMAGE).read_bytes(), spec).numpy()
    stream = io.BytesIO()
    Image.fromarray(reduced(nih_dicom)).save(stream, "PNG")
    assert np.array_equal(standard_pixels(stream.getvalue(), spec).numpy(), theirs)

    from_full_size = standard_pixels(dicom_as_png(nih_dicom), spec).numpy().astype(int)
    off = np.abs(from_full_size - theirs)
    assert off.max() <= 21  # next to the edges of the letters in the corner
    assert off.mean() < 0.6
    others = sorted((shared_data / "nih14" / "images").glob("0000000*.png"))[:8]
    distances = {path.name: np.abs(from_full_size - standard_pixels(path.read_bytes(), spec)).mean() for path in others}
    assert min(distances, key=distances.__getitem__) == "00000002_000.png"


@pytest.mark.tf
def test_the_png_of_a_dicom_file_is_decoded_to_its_pixels(nih_dicom, dicom_folder):
    from cxr_tasks.images.pixels import decode_grey

    assert np.array_equal(decode_grey(dicom_as_png(nih_dicom)).numpy()[..., 0], read_dicom(nih_dicom).pixels)
    deep = (dicom_folder / "chest" / "RG1_J2KI.dcm").read_bytes()
    off = decode_grey(dicom_as_png(deep)).numpy()[..., 0] - read_dicom(deep).pixels / 257
    assert np.abs(off).max() < 1e-4
