from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from cxr_tasks.images.dicom import read_dicom
from cxr_tasks.sources.phantoms.layouts.dicom_compression import Compression
from cxr_tasks.sources.phantoms.layouts.dicom_form import BITS_STORED, DicomForm, uid, write_dicom


def make_form(**overrides):
    plain = {"patient": "PHANTOM-1", "study": "s", "sex": "female", "age_years": 61, "view": "pa"}
    return DicomForm(**{**plain, **overrides})


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (90, 120)).astype(np.uint8)


@pytest.mark.parametrize("compression", get_args(Compression))
@pytest.mark.parametrize("is_monochrome1", [False, True])
def test_pixels_are_read_back_whatever_the_form(tmp_path, cxr_home, pixels, compression, is_monochrome1):
    write_dicom(tmp_path / "a.dcm", pixels, make_form(compression=compression, is_monochrome1=is_monochrome1))
    image = read_dicom((tmp_path / "a.dcm").read_bytes())
    assert image.bit_depth == BITS_STORED
    assert image.pixels.dtype == np.uint16
    # 8 bits to 12 and, by the window, to 16: the grey scale stays within one of 255 steps.
    assert np.abs(image.pixels / 65535 * 255 - pixels).max() < 1


def test_the_header_tells_patient_view_sex_and_age(tmp_path, cxr_home, pixels):
    write_dicom(tmp_path / "a.dcm", pixels, make_form(view="ap"))
    header = read_dicom((tmp_path / "a.dcm").read_bytes()).header
    assert (header.view, header.sex, header.age_years) == ("ap", "female", 61)
    assert header.patient_id
    assert "PHANTOM" not in header.patient_id  # a keyed hash


@pytest.mark.parametrize("compression", get_args(Compression))
def test_same_in_same_bytes_out(tmp_path, pixels, compression):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_dicom(tmp_path / name / "a.dcm", pixels, make_form(compression=compression))
    assert (tmp_path / "one" / "a.dcm").read_bytes() == (tmp_path / "two" / "a.dcm").read_bytes()


def test_ids_are_valid_and_differ():
    assert uid("a").is_valid
    assert uid("a") == uid("a") != uid("b")
