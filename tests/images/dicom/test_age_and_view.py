"""Age and view by the header alone, for what is said beside an answer."""

from __future__ import annotations

import math

import pytest

from cxr_tasks.images.dicom import age_and_view
from tests.images.dicom.files import dicom_file, ramp


@pytest.mark.parametrize(
    ("elements", "age_years", "view"),
    [
        ({"PatientAge": "009Y", "ViewPosition": "LL"}, 9.0, "lateral"),
        ({"PatientAge": "006M", "ViewPosition": "AP"}, 0.5, "ap"),
        ({"PatientAge": None, "ViewPosition": None, "PatientOrientation": None}, math.nan, "unknown"),
        ({"PatientAge": "soon", "ViewPosition": "PA"}, math.nan, "pa"),
    ],
)
def test_they_are_as_ingest_reads_them(elements, age_years, view):
    assert age_and_view(dicom_file(ramp(), **elements)) == (pytest.approx(age_years, nan_ok=True), view)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", dicom_file(ramp())[:150]])
def test_other_files_and_damaged_ones_tell_nothing(content):
    age_years, view = age_and_view(content)
    assert math.isnan(age_years)
    assert view == "unknown"
