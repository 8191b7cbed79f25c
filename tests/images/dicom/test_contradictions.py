"""Headers that are wrong about the values: refused by the element, for the picture would be another than was taken."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from cxr_tasks.images.dicom import read_dicom
from tests.image_files import smooth
from tests.images.dicom.files import dicom_bytes, dicom_dataset, dicom_file

#: 12 bits, from dark to bright and back without a sharp edge.
PICTURE = np.asarray(smooth(200, 180)).astype(np.uint16) * 16
SIGNED = (PICTURE.astype(np.int32) - 2048).astype(np.int16)
#: An overlay in a spare bit, as files of before 2006 have it.
WITH_OVERLAY = PICTURE | (np.arange(200) % 50 < 2).astype(np.uint16) << 15


def shown(content: bytes) -> np.ndarray:
    return read_dicom(content, patient_required=False).pixels / 65535


@pytest.mark.parametrize("syntax", [None, RLELossless])
@pytest.mark.parametrize("pixels", [PICTURE | 0xF000, WITH_OVERLAY], ids=["filling", "overlay"])
def test_what_stands_in_spare_bits_is_no_part_of_the_value(syntax, pixels):
    content = dicom_bytes(dicom_dataset(pixels, bits_stored=12), syntax)
    assert np.allclose(shown(content), PICTURE / 4095, atol=1e-4)


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_values_of_more_bits_than_are_stored_are_refused_and_neither_wrapped_nor_cut(syntax, refusal):
    dataset = dicom_dataset(PICTURE, bits_stored=12)
    if syntax:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.BitsStored, dataset.HighBit = 10, 9
    why = refusal(dicom_bytes(dataset))
    assert why.reason == "unsupported_pixels"
    assert why.detail.startswith("BitsStored (0028,0101): expected the 12 bits that the values take, found 10")


def test_values_in_the_high_byte_are_not_shown_as_nothing(refusal):
    high = (PICTURE >> 4) << 8
    why = refusal(dicom_file(high.astype(np.uint16), bits_stored=8))
    assert (why.reason, why.detail.partition(":")[0]) == ("unsupported_pixels", "BitsStored (0028,0101)")


@pytest.mark.parametrize(
    ("pixels", "bits_stored", "said"),
    [(SIGNED, 12, 0), (SIGNED, 16, 0), (PICTURE * 16, 16, 1), (PICTURE, 12, 1)],
)
def test_the_wrong_sign_is_refused(pixels, bits_stored, said, refusal):
    content = dicom_file(pixels.astype(pixels.dtype), bits_stored=bits_stored, PixelRepresentation=said)
    why = refusal(content)
    assert why.reason == "unsupported_pixels"
    assert why.detail.startswith(f"PixelRepresentation (0028,0103): expected {1 - said}")


@pytest.mark.parametrize(
    ("pixels", "bits_stored"), [(SIGNED, 12), (SIGNED, 16), (PICTURE * 16, 16), (PICTURE, 12), (PICTURE, 16)]
)
def test_the_right_form_is_not_doubted(pixels, bits_stored):
    expected = (pixels.astype(np.float64) - pixels.min()) / np.ptp(pixels)
    found = shown(dicom_file(pixels, bits_stored=bits_stored))
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("bits_stored", [12, 16])
def test_values_in_the_other_byte_order_are_refused(bits_stored, refusal):
    grain = np.random.default_rng(0).integers(0, 16, PICTURE.shape, dtype=np.uint16)
    content = dicom_file((PICTURE + grain).byteswap(), bits_stored=bits_stored)
    assert (
        refusal(content).detail
        == "PixelData (7FE0,0010): expected values in the byte order of the file, found the other order"
    )


def test_text_and_edges_are_no_contradiction():
    dark = PICTURE // 4
    dark[20:40:2, 20:80] = 4095  # lines of text, as bright as can be, on less than half of the range
    dark[:, :30] = 0
    assert np.allclose(shown(dicom_file(dark, bits_stored=12)), dark / 4095, atol=1e-4)


def test_noise_is_no_contradiction():
    noise = np.random.default_rng(0).integers(0, 4096, (180, 200), dtype=np.uint16)
    assert np.allclose(shown(dicom_file(noise, bits_stored=12)), noise / 4095, atol=1e-4)


@pytest.mark.parametrize("extra", [1, 2])
def test_pixels_for_more_pictures_than_the_header_has_are_refused(extra, refusal):
    content = dicom_file(PICTURE, bits_stored=12, PixelData=PICTURE.tobytes() * (1 + extra))
    why = refusal(content)
    assert why.reason == "damaged"
    assert why.detail.startswith("PixelData (7FE0,0010): expected 72000 bytes, for 200 x 180 pixels")


@pytest.mark.parametrize("filling", [b"\0" * 4096, b"\xff" * 1000, b"ab" * 20])
def test_filling_behind_the_pixels_is_passed_over(filling):
    content = dicom_file(PICTURE, bits_stored=12, PixelData=PICTURE.tobytes() + filling)
    assert np.allclose(shown(content), PICTURE / 4095, atol=1e-4)
