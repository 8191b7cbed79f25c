"""The greyscale pipeline against values worked out by hand, and against pydicom's own functions."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_windowing

from cxr_tasks.images.dicom import DicomRefused
from cxr_tasks.images.dicom.grey import Stored, grey_table, is_padding, window

BYTE = Stored(8, False, 0, 255)


def header(**elements):
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelRepresentation = 0
    dataset.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def lookup(entries, first, bits):
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = list(entries)
    item["LUTData"].VR = "US"
    return [item]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-1, 0.0),  # below the window
        (0, 0.0),  # its lower edge
        (2047.5, 0.5),  # its centre
        (4095, 1.0),  # its upper edge
        (9000, 1.0),  # above it
        (1023.75, 0.25),
    ],
)
def test_the_linear_window_is_that_of_the_standard(value, shown):
    assert window(np.array([value]), center=2048, width=4096)[0] == pytest.approx(shown)


@pytest.mark.parametrize(
    ("function", "value", "shown"),
    [
        ("LINEAR", 99.5, 0.5),  # the centre is half a value lower than it says
        ("LINEAR_EXACT", 100, 0.5),
        ("LINEAR_EXACT", 75, 0.0),
        ("LINEAR_EXACT", 112.5, 0.75),
        ("SIGMOID", 100, 0.5),
        ("SIGMOID", 150, 1 / (1 + np.exp(-4))),
        ("SIGMOID", -1e9, 0.0),  # no overflow
    ],
)
def test_each_window_function_has_its_own_centre(function, value, shown):
    assert window(np.array([float(value)]), 100, 50, function)[0] == pytest.approx(shown)


def test_a_window_of_width_1_is_a_threshold():
    assert window(np.array([99.0, 99.5, 100.0]), center=100, width=1).tolist() == [0, 0, 1]


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40, 400), (600, 1), (2000.5, 33.25)])
def test_windows_agree_with_pydicom(function, center, width):
    data = header(BitsStored=12, WindowCenter=center, WindowWidth=width, VOILUTFunction=function)
    theirs = apply_windowing(np.arange(4096), data) / 4095
    assert grey_table(data, Stored(12, False, 0, 4095)) == pytest.approx(theirs, abs=1e-12)


def test_without_a_window_the_stored_range_is_shown():
    assert np.array_equal(grey_table(header(), BYTE), np.arange(256) / 255)
    narrow = grey_table(header(), Stored(16, False, 0, 4095))
    assert narrow[[0, 4095, 65535]].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": 100, "WindowWidth": 0},
        {"WindowCenter": 100, "WindowWidth": -5},
        {"WindowCenter": 100, "WindowWidth": 0.5},  # LINEAR needs 1
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": 100},
        {"WindowWidth": 100},
    ],
)
def test_a_window_that_is_none_is_passed_over(elements):
    assert np.array_equal(grey_table(header(**elements), BYTE), np.arange(256) / 255)


def test_the_first_of_several_windows_counts():
    many = header(WindowCenter=[100, 30], WindowWidth=[50, 10])
    assert np.array_equal(grey_table(many, BYTE), grey_table(header(WindowCenter=100, WindowWidth=50), BYTE))


def test_rescale_comes_before_the_window():
    data = header(RescaleSlope=2, RescaleIntercept=-100, WindowCenter=100.5, WindowWidth=101)
    # Stored 75 becomes 50, the window's lower edge; 125 becomes 150, its upper one.
    assert grey_table(data, BYTE)[[75, 100, 125]] == pytest.approx([0, 0.5, 1])
    assert apply_modality_lut(np.array([75, 100, 125]), data).tolist() == [50, 100, 150]


def test_rescale_alone_changes_nothing_but_a_falling_one_inverts():
    assert grey_table(header(RescaleSlope=0.1, RescaleIntercept=7), BYTE) == pytest.approx(np.arange(256) / 255)
    falling = grey_table(header(RescaleSlope=-1, RescaleIntercept=255), BYTE)
    assert falling == pytest.approx(np.arange(255, -1, -1) / 255)


def test_a_slope_of_0_is_refused():
    with pytest.raises(DicomRefused, match="slope is 0"):
        grey_table(header(RescaleSlope=0, RescaleIntercept=0), BYTE)


@pytest.mark.parametrize(
    "elements", [{"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}]
)
def test_inversion_comes_last(elements):
    windowed = {"WindowCenter": 100, "WindowWidth": 50}
    plain, inverted = grey_table(header(**windowed), BYTE), grey_table(header(**windowed, **elements), BYTE)
    assert inverted == pytest.approx(1 - plain)


def test_a_voi_table_maps_clips_and_beats_the_window():
    data = header(VOILUTSequence=lookup([0, 1000, 4095], 100, 12), WindowCenter=5, WindowWidth=3)
    assert grey_table(data, BYTE)[[0, 100, 101, 102, 255]] == pytest.approx([0, 0, 1000 / 4095, 1, 1])


def test_a_voi_table_with_entries_of_8_bits_does_not_wrap_values_around():
    # 16-bit values above 255 with 8-bit entries: pydicom 3.0 looks 300 up as 300 - 256.
    data = header(VOILUTSequence=lookup(list(range(256)), 0, 8))
    assert grey_table(data, Stored(16, False, 0, 65535))[[10, 255, 300, 65535]] == pytest.approx([10 / 255, 1, 1, 1])


def test_a_voi_table_may_begin_below_0():
    data = header(VOILUTSequence=lookup([0, 128, 255], 65536 - 10, 8))
    table = grey_table(data, Stored(8, True, -128, 127))
    assert table[[256 - 20, 256 - 10, 256 - 9, 256 - 8, 5]] == pytest.approx([0, 0, 128 / 255, 1, 1])


def test_numbers_of_a_table_that_were_read_as_signed_are_put_right():
    data = header(VOILUTSequence=lookup([0, 128, 255], 0, 8))
    data.VOILUTSequence[0]["LUTDescriptor"].VR = "SS"
    data.VOILUTSequence[0].LUTDescriptor = [3, 40_000 - 65_536, 16]
    data.VOILUTSequence[0]["LUTData"].VR = "SS"
    data.VOILUTSequence[0].LUTData = [0, -32_768, -1]
    table = grey_table(data, Stored(16, False, 0, 65535))
    assert table[[39_999, 40_000, 40_001, 40_002]] == pytest.approx([0, 0, 32_768 / 65_535, 1])


def test_a_modality_table_comes_before_all_else():
    data = header(ModalityLUTSequence=lookup([65535, 0], 10, 16), WindowCenter=32768, WindowWidth=65536)
    assert grey_table(data, BYTE)[[0, 10, 11, 255]] == pytest.approx([1, 1, 0, 0])


@pytest.mark.parametrize("packed", [b"\x00\x80\xff\x00", b"\x00\x00\x80\x00\xff\x00"], ids=["a byte each", "two bytes"])
def test_tables_of_bytes_are_read_either_way(packed):
    data = header(VOILUTSequence=lookup([0, 1, 2], 0, 8))
    data.VOILUTSequence[0]["LUTData"].VR = "OW"
    data.VOILUTSequence[0]["LUTData"].value = packed
    assert grey_table(data, BYTE)[[0, 1, 2]] == pytest.approx([0, 128 / 255, 1])


@pytest.mark.parametrize("descriptor", [[4, 0, 8], [3, 0, 0], [3, 0, 17]])
def test_a_table_that_contradicts_itself_is_refused(descriptor):
    data = header(VOILUTSequence=lookup([0, 1, 2], 0, 8))
    data.VOILUTSequence[0].LUTDescriptor = descriptor
    with pytest.raises(DicomRefused, match="look-up table"):
        grey_table(data, BYTE)


@pytest.mark.parametrize(
    ("elements", "padded"),
    [
        ({}, []),
        ({"PixelPaddingValue": 0}, [0]),
        ({"PixelPaddingValue": 255, "PixelPaddingRangeLimit": 253}, [253, 254, 255]),
    ],
)
def test_padding_is_black_also_where_black_is_the_highest_value(elements, padded):
    data = header(PhotometricInterpretation="MONOCHROME1", **elements)
    assert np.flatnonzero(is_padding(data, np.arange(256))).tolist() == padded
    assert all(grey_table(data, BYTE)[padded] == 0)
    assert grey_table(data, BYTE)[100] == pytest.approx(155 / 255)


def test_signed_values_are_found_under_their_bits():
    assert Stored(4, True, -8, 7).values().tolist() == [0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1]
    assert grey_table(header(PixelRepresentation=1), Stored(4, True, -8, 7))[[8, 15, 0, 7]] == pytest.approx(
        [0, 7 / 15, 8 / 15, 1]
    )
