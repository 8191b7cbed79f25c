"""GDCM ends the process it runs in on some pictures: ours goes on, and the next picture is decoded."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import pydicom
import pytest
from pydicom.encaps import get_frame

from cxr_tasks.images.dicom import DicomRefused, gdcm_process
from cxr_tasks.images.dicom.gdcm_process import decode_with_gdcm
from tests.images.dicom.files import dicom_file, ramp, transcoded

PICTURE = ramp(16, 24)
FORM = {"syntax": "1.2.840.10008.1.2.4.70", "rows": 16, "columns": 24, "n_samples": 1, "bits": 8}


@pytest.fixture
def codestream(tmp_path):
    path = tmp_path / "lossless.dcm"
    path.write_bytes(transcoded(dicom_file(PICTURE), "JPEGLosslessProcess14_1", tmp_path))
    return get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)


def decoded(codestream):
    return np.frombuffer(decode_with_gdcm(codestream, **FORM), np.uint8).reshape(16, 24)


def test_pictures_are_decoded_one_after_the_other(codestream):
    for _ in range(3):
        assert np.array_equal(decoded(codestream), PICTURE)


def test_a_picture_that_ends_the_decoder_is_refused_and_the_next_is_decoded(codestream):
    # The marker of the Huffman table, broken: GDCM calls abort().
    broken = codestream[:15] + b"\0" + codestream[16:]
    for _ in range(2):
        with pytest.raises(DicomRefused, match="breaks its decoder") as caught:
            decoded(broken)
        assert caught.value.reason == "damaged"
        assert np.array_equal(decoded(codestream), PICTURE)


def test_a_decoder_that_was_ended_is_started_again(codestream):
    decoded(codestream)
    child = gdcm_process._decoders[os.getpid()]._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert np.array_equal(decoded(codestream), PICTURE)


def test_a_decoder_that_is_stuck_is_ended(codestream, monkeypatch):
    decoded(codestream)
    child = gdcm_process._decoders[os.getpid()]._child
    assert child is not None
    monkeypatch.setattr(gdcm_process, "DECODE_SECONDS", 0.2)
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(DicomRefused, match="breaks its decoder"):
        decoded(codestream)
    assert child.poll() is not None
    monkeypatch.undo()
    assert np.array_equal(decoded(codestream), PICTURE)


def test_a_picture_of_another_size_is_refused(codestream):
    with pytest.raises(DicomRefused):
        decode_with_gdcm(codestream, **{**FORM, "rows": 17})
    with pytest.raises(DicomRefused):
        decode_with_gdcm(b"no picture", **FORM)


def _in_a_fork(codestream, answers):
    answers.put((np.array_equal(decoded(codestream), PICTURE), gdcm_process._decoders[os.getpid()]._child.pid))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_a_forked_process_has_a_decoder_of_its_own(codestream):
    decoded(codestream)
    own = gdcm_process._decoders[os.getpid()]._child
    assert own is not None
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    fork = context.Process(target=_in_a_fork, args=(codestream, answers))
    fork.start()
    is_right, pid = answers.get()
    fork.join()
    assert is_right
    assert pid != own.pid
    assert np.array_equal(decoded(codestream), PICTURE)
    assert gdcm_process._decoders[os.getpid()]._child is own
