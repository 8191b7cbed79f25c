"""Compressed pictures that are not all there, that are several, or whose header leaves out what the picture tells."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import JPEGBaseline8Bit

from cxr_tasks.images.dicom import read_dicom
from tests.image_files import encoded, smooth
from tests.images.dicom.files import dicom_bytes, dicom_dataset, dicom_file, transcoded

EIGHT = np.asarray(smooth(160, 120))
TWELVE = EIGHT.astype(np.uint16) * 16
END = b"\xff\xd9"
#: By the name that GDCM has for the syntax.
PICTURES = {
    "JPEGBaselineProcess1": (EIGHT, 8),
    "JPEGExtendedProcess2_4": (TWELVE, 12),
    "JPEGLosslessProcess14": (TWELVE, 12),
    "JPEGLosslessProcess14_1": (TWELVE, 12),
    "JPEGLSLossless": (TWELVE, 12),
    "JPEG2000Lossless": (TWELVE, 12),
    "JPEG2000": (TWELVE, 12),
}


def with_codestream(content: bytes, *codestreams: bytes, **options) -> bytes:
    """The file with other compressed pictures in place of its own."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.PixelData = encapsulate(list(codestreams), **options)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def codestream_of(content: bytes) -> bytes:
    return get_frame(pydicom.dcmread(io.BytesIO(content)).PixelData, 0, number_of_frames=1)


@pytest.mark.parametrize("end", [b"", END], ids=["bare", "with an end marker"])
@pytest.mark.parametrize("syntax", PICTURES)
def test_a_picture_whose_data_end_early_is_refused_also_where_an_end_marker_was_put_behind(
    syntax, end, tmp_path, refusal
):
    pixels, bits = PICTURES[syntax]
    content = transcoded(dicom_file(pixels, bits_stored=bits), syntax, tmp_path)
    assert read_dicom(content).pixels.shape == pixels.shape
    whole = codestream_of(content)
    for share in (0.4, 0.7, 0.95):
        why = refusal(with_codestream(content, whole[: int(len(whole) * share)] + end))
        assert why.reason in {"truncated", "damaged"}
        assert end == b"" or not syntax.startswith(("JPEGB", "JPEGE", "JPEGLosslessP")) or why.reason == "truncated"


@pytest.mark.parametrize("syntax", PICTURES)
def test_a_picture_in_several_fragments_is_read_whole(syntax, tmp_path):
    pixels, bits = PICTURES[syntax]
    content = transcoded(dicom_file(pixels, bits_stored=bits), syntax, tmp_path)
    in_pieces = with_codestream(content, codestream_of(content), fragments_per_frame=3)
    assert np.array_equal(read_dicom(in_pieces).pixels, read_dicom(content).pixels)


def test_several_pictures_are_refused_also_where_their_number_is_not_told(refusal):
    jpeg = encoded(smooth(160, 120), "JPEG")
    one = dicom_bytes(dicom_dataset(EIGHT), JPEGBaseline8Bit, jpeg)
    assert refusal(with_codestream(one, jpeg, jpeg)).reason == "many_frames"


@pytest.mark.parametrize("bits", [8, 12])
def test_a_jpeg_of_8_bits_is_read_where_the_header_has_room_for_16(bits):
    jpeg = encoded(smooth(160, 120), "JPEG", quality=95)
    plain = dicom_bytes(dicom_dataset(EIGHT), JPEGBaseline8Bit, jpeg)
    roomy = dicom_bytes(dicom_dataset(TWELVE, bits_stored=bits), JPEGBaseline8Bit, jpeg)
    assert np.array_equal(read_dicom(roomy).pixels, read_dicom(plain).pixels)


def rewritten(pixels: np.ndarray, **elements) -> bytes:
    """A file without, or with other, elements that pydicom asks for; ``None`` takes one out."""
    dataset = dicom_dataset(pixels)
    dataset["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dicom_bytes(dataset)


COLOUR = np.stack([EIGHT] * 3, axis=-1)


@pytest.mark.parametrize(
    ("pixels", "elements"),
    [
        (EIGHT, {"SamplesPerPixel": None}),
        (EIGHT, {"PixelRepresentation": None}),
        (EIGHT, {"PhotometricInterpretation": "monochrome2"}),
        (COLOUR, {"PlanarConfiguration": None}),
        (COLOUR, {"PixelRepresentation": None}),
        (COLOUR, {"PhotometricInterpretation": "rgb"}),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_may_be_left_out_or_written_small_is_read(pixels, elements):
    assert np.array_equal(read_dicom(rewritten(pixels, **elements)).pixels, EIGHT)


def test_a_sign_that_is_neither_is_refused_by_its_element(refusal):
    why = refusal(rewritten(EIGHT, PixelRepresentation=2))
    assert why.detail == "PixelRepresentation (0028,0103): expected 0 (unsigned) or 1 (signed), found 2"
