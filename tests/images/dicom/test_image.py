"""What comes out of a DICOM file, and what never does: a name, a number of the patient, an unforeseen error."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import ImplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.images.dicom import DicomRefused, dicom_as_png, instance_uid, is_dicom, read_dicom
from cxr_tasks.installation.patient_keys import patient_secret
from tests.images.dicom.files import IDENTIFYING, dicom_bytes, dicom_dataset, dicom_file, ramp

TWELVE = ramp(32, 40, top=4095, dtype=np.uint16)
#: What none of the outputs may hold, also in parts.
SECRETS = [*IDENTIFYING.values(), "Doe", "Jane", "Elsewhere", "House", "PAT-", "111222333"]


def as_jpeg(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return dicom_bytes(dicom_dataset(pixels), JPEGBaseline8Bit, stream.getvalue())


SEEDS = {
    "explicit": dicom_file(TWELVE, bits_stored=12, WindowCenter=2000, WindowWidth=3000),
    "implicit": dicom_bytes(dicom_dataset(ramp(32, 40), RescaleSlope=1, RescaleIntercept=0), ImplicitVRLittleEndian),
    "RLE": dicom_bytes(dicom_dataset(TWELVE), RLELossless),
    "JPEG": as_jpeg(ramp(32, 40)),
    "JPEG 2000": dicom_bytes(dicom_dataset(TWELVE, bits_stored=12), JPEG2000Lossless),
}


def told(content):
    """Everything that comes out of one file, as bytes: results, or the refusals of both functions."""
    out = []
    for function in (read_dicom, dicom_as_png):
        try:
            found = function(content)
        except DicomRefused as why:
            out.append(f"{why!r} {why} {why.__context__ if not why.__suppress_context__ else ''}".encode())
        else:
            out.append(found if isinstance(found, bytes) else repr(found).encode() + found.pixels.tobytes())
    return b"\n".join(out)


@pytest.mark.parametrize(
    ("content", "is_one"),
    [
        (dicom_file(), True),
        (b"", False),
        (b"DICM", False),
        (b"\0" * 128, False),
        (b"\0" * 128 + b"DICM", True),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 200, False),
    ],
    ids=["file", "nothing", "too early", "preamble only", "no more than a beginning", "PNG"],
)
def test_dicom_files_are_told_by_their_beginning(content, is_one):
    assert is_dicom(content) is is_one


@pytest.mark.parametrize(("bits", "mode", "dtype"), [(8, "L", np.uint8), (12, "I;16", np.uint16)])
def test_the_png_holds_the_same_pixels(bits, mode, dtype):
    content = dicom_file(ramp(20, 30, top=(1 << bits) - 1, dtype=dtype), bits_stored=bits)
    picture = Image.open(io.BytesIO(dicom_as_png(content)))
    assert picture.mode == mode
    assert np.array_equal(np.asarray(picture), read_dicom(content).pixels)


@pytest.mark.parametrize("name", SEEDS)
def test_the_same_file_gives_the_same_png(name):
    assert dicom_as_png(SEEDS[name]) == dicom_as_png(SEEDS[name])


def test_the_png_does_not_depend_on_the_patient():
    one, other = (dicom_file(PatientID=name, PatientName=name, AccessionNumber=name) for name in ("A1", "B2"))
    assert one != other
    assert dicom_as_png(one) == dicom_as_png(other)
    assert dicom_as_png(dicom_file(PatientID=None)) == dicom_as_png(one)


def test_the_png_holds_pixels_and_nothing_else():
    content = dicom_as_png(SEEDS["explicit"])
    chunks, place = [], 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append(content[place + 4 : place + 8])
        place += 12 + length
    assert set(chunks) <= {b"IHDR", b"sBIT", b"IDAT", b"IEND"}  # sBIT: how many bits count


BROKEN = {
    "wrong modality": {"Modality": "CT"},
    "name as modality": {"Modality": "DOE JANE"},
    "wrong part": {"BodyPartExamined": "KNEE"},
    "name as part": {"BodyPartExamined": "DOE JANE"},
    "annotated": {"BurnedInAnnotation": "YES"},
    "no window": {"WindowCenter": "0", "WindowWidth": "0"},
    "name as colour": {"PhotometricInterpretation": "DOE JANE"},
    "broken slope": {"RescaleSlope": "0", "RescaleIntercept": "1"},
    "frames": {"NumberOfFrames": "7"},
    "rows": {"Rows": 9999},
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [*SEEDS, *BROKEN])
def test_nothing_that_identifies_the_patient_comes_out(name, caplog, capfd):
    content = SEEDS[name] if name in SEEDS else dicom_file(**BROKEN[name])
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        out = told(content)
    printed = "".join(capfd.readouterr()) + caplog.text + "".join(str(one.message) for one in warned)
    for secret in SECRETS:
        assert secret.encode() in content
        assert secret.encode() not in out
        assert secret.upper().encode() not in out
        assert secret not in printed


def test_values_that_pydicom_would_quote_are_not_told(caplog, capfd):
    """An age, a UID and a number that are none: pydicom warns of each with its value, or raises with it."""
    content = dicom_file(WindowCenter="1", WindowWidth="2", PatientAge="071Y")
    content = content.replace(b"071Y", b"DOE!").replace(
        b"1.2.826.0.1.3680043.8.498.111222333", b"Doe^Jane 4711".ljust(35)
    )
    broken_number = dicom_file(WindowCenter="123456", WindowWidth="654321").replace(b"123456", b"DOEJAN")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        out = told(content) + told(broken_number)
    assert b"DOE" not in out
    assert not warned
    assert "DOE" not in "".join(capfd.readouterr()) + caplog.text


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_broken_bytes_are_refused_or_read_and_nothing_else(name, data):
    content = bytearray(SEEDS[name])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told(bytes(content[:cut]))


@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=400))
def test_noise_after_a_preamble_is_refused(noise):
    with pytest.raises(DicomRefused):
        read_dicom(b"\0" * 128 + b"DICM" + noise)


def test_a_damaged_secret_is_no_fault_of_the_file(own_home):
    patient_secret()
    next(own_home.rglob("patient_key")).write_text("torn")
    with pytest.raises(DataDefect, match="hex digits") as caught:
        read_dicom(dicom_file())
    assert not isinstance(caught.value, DicomRefused)


def test_the_object_of_a_file_is_told_from_its_beginning():
    content = dicom_file(ramp(500, 500))
    assert instance_uid(content[:1000]) == IDENTIFYING["SOPInstanceUID"]
    with pytest.raises(DicomRefused, match="SOP instance"):
        instance_uid(dicom_file(SOPInstanceUID=None))
    with pytest.raises(DicomRefused):
        instance_uid(b"no DICOM file")


def test_importing_the_package_imports_nothing_heavy():
    heavy = "('numpy', 'pydicom', 'PIL', 'gdcm')"
    code = f"import sys, cxr_tasks.images.dicom; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
