from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.images.dicom import DicomRefused
from cxr_tasks.images.dicom.codestream import CodestreamForm, codestream_form


def encoded(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "codestream",
    [
        encoded("JPEG"),
        encoded("JPEG", progressive=True),
        encoded("JPEG", comment=b"x" * 1000),  # long segments before the size
        encoded("JPEG").replace(b"\xff\xc0", b"\xff\xff\xff\xc0"),  # fill bytes before a marker
        encoded("JPEG2000", no_jp2=True),
        encoded("JPEG2000"),  # in a JP2 file, which some writers leave around it
    ],
    ids=["JPEG", "progressive", "comment", "fill bytes", "JPEG 2000", "JP2"],
)
def test_size_and_bits_are_read_from_the_picture_itself(codestream):
    assert codestream_form(codestream) == CodestreamForm(rows=20, columns=30, n_samples=1, bits=8)


def test_of_jpeg_ls_too():
    start = bytes.fromhex("ffd8 fff7 000b 0c 0014 001e 01 01 11 00 ffda")
    assert codestream_form(start) == CodestreamForm(rows=20, columns=30, n_samples=1, bits=12)


@pytest.mark.parametrize(
    ("codestream", "told"),
    [
        (b"", "no JPEG"),
        (b"GIF89a", "no JPEG"),
        (encoded("JPEG")[:60], "ends before"),
        (encoded("JPEG2000", no_jp2=True)[:20], "ends before"),
        (encoded("JPEG2000")[:30], "ends before"),
        (b"\xff\xd8\x00\x00\x00", "a JPEG marker should be"),
        (b"\xff\xd8\xff\xda\x00\x08", "begins before its size"),
        (b"\xff\xd8" + b"\xff" * 1000, "ends before"),
    ],
    ids=["nothing", "GIF", "JPEG cut", "JPEG 2000 cut", "JP2 cut", "no marker", "scan first", "fill bytes only"],
)
def test_what_tells_no_size_is_refused(codestream, told):
    with pytest.raises(DicomRefused, match=told) as caught:
        codestream_form(codestream)
    assert caught.value.reason == "damaged"
