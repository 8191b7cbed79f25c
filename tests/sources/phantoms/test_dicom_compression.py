from __future__ import annotations

import numpy as np
import pydicom
import pytest

from cxr_tasks.images.dicom.samples import DECODERS, decoded_samples
from cxr_tasks.sources.phantoms.layouts.dicom_form import DicomForm, write_dicom

FORM = {"patient": "PHANTOM-1", "study": "s", "sex": "female", "age_years": 61, "view": "pa"}


@pytest.mark.parametrize(
    ("compression", "syntax", "decoder"),
    [
        ("none", "1.2.840.10008.1.2.1", ""),
        ("rle", "1.2.840.10008.1.2.5", "pydicom"),
        ("jpeg2000", "1.2.840.10008.1.2.4.90", "pylibjpeg"),
        ("jpeg_lossless", "1.2.840.10008.1.2.4.70", "gdcm"),
    ],
)
def test_samples_come_back_bit_by_bit_and_only_the_syntax_differs(tmp_path, compression, syntax, decoder):
    pixels = np.random.default_rng(3).integers(0, 256, (91, 120)).astype(np.uint8)
    for name in ("none", compression):
        write_dicom(tmp_path / "a.dcm", pixels, DicomForm(**FORM, compression=name))
        (tmp_path / "a.dcm").rename(tmp_path / f"{name}.dcm")
    plain, packed = (pydicom.dcmread(tmp_path / f"{name}.dcm") for name in ("none", compression))
    assert packed.file_meta.TransferSyntaxUID == syntax
    assert DECODERS[syntax] == decoder
    assert np.array_equal(decoded_samples(packed)[0], decoded_samples(plain)[0])
    del plain.PixelData, packed.PixelData
    assert packed == plain
