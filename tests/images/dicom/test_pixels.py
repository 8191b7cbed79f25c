"""Every way to store a picture gives the same grey; every form that is none is refused."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from cxr_tasks.images.dicom import DicomRefused, read_dicom
from cxr_tasks.images.dicom.pixels import grey_pixels
from cxr_tasks.images.dicom.quiet import quiet
from tests.images.dicom.files import dicom_bytes, dicom_dataset, dicom_file, ramp, transcoded

BYTES = ramp(40, 56)
TWELVE = ramp(40, 56, top=4095, dtype=np.uint16)
SIXTEEN = ramp(40, 56, top=65535, dtype=np.uint16)
SIGNED = (ramp(40, 56, top=4095, dtype=np.int16) - 2048).astype(np.int16)

PICTURES = {
    # stored, its bits, what is shown: worked out by hand
    "8 bits": (BYTES, 8, BYTES),
    "12 bits of 16": (TWELVE, 12, np.rint(TWELVE / 4095 * 65535).astype(np.uint16)),
    "16 bits": (SIXTEEN, 16, SIXTEEN),
    "12 bits, signed": (SIGNED, 12, np.rint((SIGNED + 2048.0) / 4095 * 65535).astype(np.uint16)),
}


def pixels_of(content):
    return read_dicom(content).pixels


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEG2000Lossless]
)
def test_lossless_syntaxes_give_the_stored_values(syntax, picture):
    stored, bits, shown = PICTURES[picture]
    if syntax == ExplicitVRBigEndian:
        data = dicom_dataset(
            stored, bits_stored=bits, PixelData=stored.astype(stored.dtype.newbyteorder(">")).tobytes()
        )
        data["PixelData"].VR = "OW" if stored.dtype.itemsize == 2 else "OB"
    else:
        data = dicom_dataset(stored, bits_stored=bits)
    image = read_dicom(dicom_bytes(data, syntax))
    assert np.array_equal(image.pixels, shown)
    assert image.pixels.dtype == shown.dtype
    assert image.bit_depth == bits


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("syntax", ["JPEGLosslessProcess14", "JPEGLosslessProcess14_1", "JPEGLSLossless"])
def test_lossless_syntaxes_of_gdcm_give_the_stored_values(syntax, picture, tmp_path):
    stored, bits, shown = PICTURES[picture]
    assert np.array_equal(pixels_of(transcoded(dicom_file(stored, bits_stored=bits), syntax, tmp_path)), shown)


@pytest.mark.parametrize("bits", [10, 12])
def test_extended_jpeg_of_more_than_8_bits_is_as_near_as_its_transform(bits, tmp_path):
    stored = ramp(40, 56, top=(1 << bits) - 1, dtype=np.uint16)
    shown = pixels_of(transcoded(dicom_file(stored, bits_stored=bits), "JPEGExtendedProcess2_4", tmp_path))
    off = np.abs(shown / 65535 * ((1 << bits) - 1) - stored)
    assert off.max() < 2.001


def test_near_lossless_jpeg_ls_is_near(tmp_path):
    shown = pixels_of(transcoded(dicom_file(BYTES), "JPEGLSNearLossless", tmp_path))
    assert np.abs(shown.astype(int) - BYTES).max() <= 3


def test_baseline_jpeg_is_what_pillow_decodes():
    stream = io.BytesIO()
    Image.fromarray(BYTES).save(stream, "JPEG", quality=80)
    shown = pixels_of(dicom_bytes(dicom_dataset(BYTES), JPEGBaseline8Bit, stream.getvalue()))
    assert np.array_equal(shown, np.asarray(Image.open(stream)))
    assert not np.array_equal(shown, BYTES)


def test_lossy_jpeg_2000_is_near():
    data = dicom_dataset(BYTES)
    data.compress("1.2.840.10008.1.2.4.91", j2k_psnr=[50], generate_instance_uid=False)
    assert np.abs(pixels_of(dicom_bytes(data)).astype(int) - BYTES).max() <= 8


@pytest.mark.parametrize("name", ["implicit", "bigendian", "RLE", "jpeg_ls_lossless", "jp2klossless"])
def test_one_real_picture_in_many_syntaxes(name):
    with quiet():
        reference, _ = grey_pixels(pydicom.dcmread(get_testdata_file("MR_small.dcm")))
        shown, bits = grey_pixels(pydicom.dcmread(get_testdata_file(f"MR_small_{name}.dcm")))
    assert np.array_equal(shown, reference)
    assert bits == 16


def test_a_real_extended_jpeg_of_12_bits():
    """The two values that pydicom's own tests expect of this file from another decoder than ours."""
    data = pydicom.dcmread(get_testdata_file("JPGExtended.dcm"))
    data.WindowCenter, data.WindowWidth = 2048, 4096
    with quiet():
        shown, _ = grey_pixels(data)
    assert np.rint(shown[[420, 230], [140, 120]] / 65535 * 4095).tolist() == [244, 95]


def test_a_real_truncated_file_is_said_to_be_truncated():
    with quiet(), pytest.raises(DicomRefused) as caught:
        grey_pixels(pydicom.dcmread(get_testdata_file("MR_truncated.dcm")))
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless])
def test_files_that_end_within_the_pixels_are_truncated(syntax, refusal):
    content = dicom_bytes(dicom_dataset(SIXTEEN), syntax)
    assert refusal(content[:-100]).reason == "truncated"


def test_monochrome1_is_inverted():
    assert np.array_equal(pixels_of(dicom_file(BYTES, PhotometricInterpretation="MONOCHROME1")), 255 - BYTES)


def test_the_window_of_the_file_is_applied_before_the_depth_is_cut():
    shown = pixels_of(dicom_file(TWELVE, bits_stored=12, WindowCenter=1000.5, WindowWidth=101))
    expected = np.rint(np.clip((TWELVE - 1000.0) / 100 + 0.5, 0, 1) * 65535)
    assert np.array_equal(shown, expected)
    assert len(np.unique(shown)) > 40  # 8 bits of the whole range would leave 7


def test_12_bit_values_that_claim_16_are_not_shown_nearly_black():
    shown = pixels_of(dicom_file(TWELVE))
    assert np.array_equal(shown, np.rint(TWELVE / 4095 * 65535))
    dark = pixels_of(dicom_file(TWELVE, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(dark, np.rint((4095 - TWELVE.astype(float)) / 4095 * 65535))


def test_the_range_depends_on_whole_bits_and_not_on_the_brightest_pixel():
    one, other = TWELVE.copy(), TWELVE.copy()
    one[-1, -1], other[-1, -1] = 4000, 3000
    one_shown, other_shown = pixels_of(dicom_file(one)), pixels_of(dicom_file(other))
    assert np.array_equal(one_shown[:-1], other_shown[:-1])


def test_unsigned_values_in_signed_pixels_keep_black_at_0():
    shown = pixels_of(dicom_file(TWELVE.astype(np.int16)))
    assert np.array_equal(shown, np.rint(TWELVE / 4095 * 65535))


def test_8_bit_pictures_are_taken_as_they_are_however_dark():
    assert np.array_equal(pixels_of(dicom_file(BYTES // 16)), BYTES // 16)


def test_padding_is_black_and_does_not_widen_the_range():
    stored = TWELVE.copy()
    stored[:4] = 65535
    shown = pixels_of(dicom_file(stored, PixelPaddingValue=65535))
    assert (shown[:4] == 0).all()
    assert np.array_equal(shown[4:], np.rint(TWELVE[4:] / 4095 * 65535))


def test_bits_above_those_stored_are_no_part_of_the_value():
    with_overlay = TWELVE | np.uint16(0x8000)
    assert np.array_equal(pixels_of(dicom_file(with_overlay, bits_stored=12)), np.rint(TWELVE / 4095 * 65535))


def test_compressed_values_beyond_the_range_are_cut_and_not_wrapped():
    over = np.where(TWELVE > 4000, np.uint16(4100), TWELVE)
    data = dicom_dataset(over)
    data.compress(JPEG2000Lossless, generate_instance_uid=False)
    data.BitsStored, data.HighBit = 12, 11
    assert pixels_of(dicom_bytes(data))[-1, -1] == 65535


def test_grey_stored_as_colour_becomes_luma():
    rgb = np.stack([BYTES, BYTES, BYTES], axis=-1)
    rgb[..., 2] = np.minimum(BYTES, 250)
    shown = pixels_of(dicom_file(rgb))
    assert np.array_equal(shown, np.asarray(Image.fromarray(rgb).convert("L")))


@pytest.mark.parametrize("syntax", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "RLELossless"])
def test_grey_stored_as_compressed_colour_too(syntax, tmp_path):
    rgb = np.stack([BYTES] * 3, axis=-1)
    assert np.array_equal(pixels_of(transcoded(dicom_file(rgb), syntax, tmp_path)), BYTES)


def test_grey_in_a_jpeg_of_luma_and_colour_differences():
    stream = io.BytesIO()
    Image.fromarray(np.stack([BYTES] * 3, axis=-1)).save(stream, "JPEG", quality=90)
    data = dicom_dataset(np.stack([BYTES] * 3, axis=-1), PhotometricInterpretation="YBR_FULL_422")
    shown = pixels_of(dicom_bytes(data, JPEGBaseline8Bit, stream.getvalue()))
    assert np.abs(shown.astype(int) - BYTES).max() <= 6


def test_a_small_coloured_mark_is_taken_and_known_and_a_large_one_makes_a_picture_one_of_colour(refusal):
    rgb = np.stack([np.full((100, 100), 90, np.uint8)] * 3, axis=-1)
    rgb[3:13, 5:15] = (255, 200, 0)
    assert read_dicom(dicom_file(rgb)).coloured == 0.01
    rgb[3:23, 5:25] = (255, 200, 0)
    assert refusal(dicom_file(rgb)).reason == "colour"


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"NumberOfFrames": 3}, "many_frames"),
        ({"Rows": 20_000, "Columns": 20_000}, "too_many_pixels"),
        ({"Rows": 0}, "damaged"),
        ({"Rows": None}, "damaged"),
        ({"Rows": 41}, "truncated"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "unsupported_pixels"),
        ({"BitsStored": 17}, "unsupported_pixels"),
        ({"BitsStored": 12, "HighBit": 15}, "unsupported_pixels"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "unsupported_pixels"),
        ({"PhotometricInterpretation": "Jane Doe"}, "unsupported_pixels"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "unsupported_pixels"),
        ({"PixelData": None}, "no_pixels"),
        ({"PixelData": None, "FloatPixelData": b"\0" * 400}, "unsupported_pixels"),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 65535}, "blank"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_forms_that_are_not_read(elements, reason, refusal):
    assert refusal(dicom_file(SIXTEEN, **elements)).reason == reason


def test_a_file_deflated_as_a_whole_is_refused_before_it_is_inflated(refusal):
    content = dicom_bytes(dicom_dataset(np.zeros((4000, 4000), np.uint8)), DeflatedExplicitVRLittleEndian)
    assert len(content) < 20_000
    assert refusal(content).reason == "unsupported_transfer_syntax"


@pytest.mark.parametrize("syntax", [HTJ2KLossless, "1.2.840.10008.1.2.4.100", "1.2.3.4"])
def test_other_transfer_syntaxes_are_refused(syntax, refusal):
    assert (
        refusal(dicom_bytes(dicom_dataset(BYTES), pydicom.uid.UID(syntax), b"x")).reason
        == "unsupported_transfer_syntax"
    )


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, "1.2.840.10008.1.2.4.91", JPEGLSLossless])
def test_a_compressed_picture_larger_than_the_header_says_is_not_decoded(syntax, refusal):
    """A few hundred bytes may decode to gigabytes: the bound on rows and columns must hold for them too."""
    stream = io.BytesIO()
    kind = {"1.2.840.10008.1.2.4.91": "JPEG2000"}.get(str(syntax), "JPEG")
    Image.new("L", (5000, 5000)).save(stream, kind)
    why = refusal(dicom_bytes(dicom_dataset(BYTES), pydicom.uid.UID(syntax), stream.getvalue()))
    assert why.reason == "damaged"
    assert "5000 x 5000" in why.detail


def test_a_compressed_picture_with_more_samples_than_the_header_says_is_not_decoded(refusal):
    stream = io.BytesIO()
    Image.fromarray(BYTES).save(stream, "JPEG2000", no_jp2=True)
    codestream = bytearray(stream.getvalue())
    codestream[40:42] = (16384).to_bytes(2, "big")  # as many pictures in one
    why = refusal(dicom_bytes(dicom_dataset(BYTES), JPEG2000Lossless, bytes(codestream)))
    assert why.reason == "damaged"
    assert "of 16384" in why.detail
