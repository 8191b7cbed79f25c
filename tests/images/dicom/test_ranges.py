"""Whatever a header claims of the range of its values: the picture comes out as grey as it does without the claim."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from cxr_tasks.images.dicom import DicomRefused, read_dicom
from tests.images.dicom.files import dicom_file, ramp

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TWELVE = ramp(40, 56, top=4095, dtype=np.uint16)
PLAIN = np.rint(TWELVE / 4095 * 65535)


def lookup(entries, first=0, bits=16):
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = np.asarray(entries).astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    return [item]


def shown(stored=TWELVE, bits=12, **elements):
    return read_dicom(dicom_file(stored, bits_stored=bits, **elements)).pixels


@pytest.mark.parametrize(
    "elements",
    [
        {"VOILUTSequence": lookup(range(4096), bits=16)},  # the descriptor says 16 bits, the entries have 12
        {"VOILUTSequence": lookup(range(4096), bits=14)},
        {"VOILUTSequence": lookup(range(4096), bits=8)},  # all white before
        {"VOILUTSequence": lookup(range(65536), bits=16)},  # a table for 16 bits on values of 12
        {"VOILUTSequence": lookup(range(256), bits=8)},  # a table for 8 bits, half of the picture beyond it
        {"ModalityLUTSequence": lookup(range(4096), bits=16)},
        {"ModalityLUTSequence": lookup(range(4096), bits=8)},
        {"WindowCenter": 32768, "WindowWidth": 65536},  # of 16 bits
        {"WindowCenter": 128, "WindowWidth": 256},  # of 8 bits
        {"WindowCenter": 60000, "WindowWidth": 1000},  # all black
        {"WindowCenter": -5000, "WindowWidth": 1000},  # all white
        {"WindowCenter": [32768, 2048], "WindowWidth": [65536, 4096]},  # the second is about these values
        {"WindowCenter": "", "WindowWidth": ""},
        {"VOILUTFunction": "", "WindowCenter": 2048, "WindowWidth": 4096},
    ],
)
def test_a_claim_that_is_about_other_values_is_passed_over(elements):
    assert np.abs(shown(**elements) - PLAIN).max() <= 20


def test_of_several_windows_the_first_that_is_about_the_values_counts():
    assert np.array_equal(
        shown(WindowCenter=[1500, 2048], WindowWidth=[2000, 4096]), shown(WindowCenter=1500, WindowWidth=2000)
    )


def test_a_table_that_begins_below_0_keeps_its_sign():
    signed = (TWELVE.astype(np.int32) - 2048).astype(np.int16)
    elements = {"VOILUTSequence": lookup(range(4096), first=65536 - 2048, bits=12)}
    assert np.abs(shown(signed, 12, **elements) - PLAIN).max() <= 20


@pytest.mark.parametrize(
    ("stored", "bits", "padding"),
    [
        (TWELVE.astype(np.int16), 16, 63536),  # -2000 without its sign
        (TWELVE, 16, -1),  # 65535 with one
    ],
)
def test_padding_in_the_other_sign_is_padding(stored, bits, padding):
    stored = stored.copy()
    stored[:4] = padding - 65536 if stored.dtype.kind == "i" else padding + 65536
    content = dicom_file(stored, bits_stored=bits)
    # Written by hand: pydicom would not take a value of the other sign.
    vr = b"US" if padding > 0 else b"SS"
    element = b"\x28\x00\x20\x01" + vr + b"\x02\x00" + (padding % 65536).to_bytes(2, "little")
    place = content.index(b"\xe0\x7f\x10\x00")
    pixels = read_dicom(content[:place] + element + content[place:]).pixels
    assert (pixels[:4] == 0).all()
    assert np.array_equal(pixels[4:], PLAIN[4:])


def test_a_range_of_padding_is_padding():
    stored = TWELVE.copy()
    stored[:4] = np.arange(60000, 60004)[:, None]
    pixels = shown(stored, 16, PixelPaddingValue=60003, PixelPaddingRangeLimit=60000)
    assert (pixels[:4] == 0).all()
    assert np.array_equal(pixels[4:], PLAIN[4:])


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_anatomy_at_the_padding_value_stays(kind):
    stored = ramp(40, 56, top=3000, dtype=np.uint16) + 500
    stored[:, :4] = 0  # the padding
    stored[20:24, 30:34] = 0  # saturated bone, amid the picture
    pixels = shown(stored, 12, PhotometricInterpretation=kind, PixelPaddingValue=0)
    assert (pixels[:, :4] == 0).all()
    assert (pixels[20:24, 30:34] == (65535 if kind == "MONOCHROME1" else 0)).all()


@pytest.mark.parametrize(
    ("elements", "named"),
    [
        ({"PhotometricInterpretation": None}, "PhotometricInterpretation (0028,0004): expected MONOCHROME1 or MONO"),
        ({"HighBit": 15}, "HighBit (0028,0102): expected 11, the highest of 12 bits stored, found 15"),
        ({"PixelData": b""}, "PixelData (7FE0,0010) is empty; expected 56 x 40 pixels"),
        ({"Rows": None}, "Rows (0028,0010) is absent; a number was expected"),
        ({"BitsStored": None}, "BitsStored (0028,0101) is absent; a number was expected"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope (0028,1053): the rescale slope is 0"),
    ],
)
def test_a_refusal_names_the_element(elements, named, refusal):
    assert refusal(dicom_file(TWELVE, **{"bits_stored": 12, **elements})).detail.startswith(named)


def test_a_decimal_comma_is_read():
    comma = dicom_file(TWELVE, bits_stored=12, WindowCenter="2000.5", WindowWidth="3000.5")
    point = comma.replace(b"2000.5", b"2000,5").replace(b"3000.5", b"3000,5")
    assert point != comma
    assert np.array_equal(read_dicom(point).pixels, read_dicom(comma).pixels)


def test_a_window_that_is_no_number_is_passed_over():
    content = dicom_file(TWELVE, bits_stored=12, WindowCenter="2000.5", WindowWidth="3000.5")
    assert np.array_equal(read_dicom(content.replace(b"2000.5", b"2.0.05")).pixels, PLAIN)


@pytest.mark.parametrize("start", [128, 132], ids=["from DICM on", "from the first element on"])
def test_a_file_without_its_preamble_is_said_to_be_one(start):
    with pytest.raises(DicomRefused) as caught:
        read_dicom(dicom_file(TWELVE, bits_stored=12)[start:])
    assert caught.value.reason == "no_preamble"
    assert "expected a preamble of 128 bytes and DICM" in caught.value.detail
