"""Results as DICOM: valid, of the same study, and in no word a diagnosis."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from cxr_tasks.cli.main import main
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.explain.dicom.results import write_dicom
from serving.client import Answer
from tests.images.dicom.files import IDENTIFYING, dicom_file, ramp
from tests.serving.client.fake_server import fake_server


def answer(**changes) -> Answer:
    told = {
        "labels": ("pneumonia", "enlarged_cardiomediastinum", "mass"),
        "probabilities": (0.9134, 0.51, 0.02),
        "decisions": (True, True, False),
        "version": 7,
        "heat_maps": np.linspace(0, 1, 48, dtype=np.float32).reshape(3, 4, 4),
    }
    return Answer(**{**told, **changes})


def image(**elements) -> bytes:
    return dicom_file(ramp(64, 80), StudyTime="101112", **elements)


def texts(dataset) -> str:
    """All that is written in a data set, for people and as codes."""
    return "\n".join(str(element.value) for element in dataset.iterall() if element.VR not in ("SQ", "OB", "OW", "UI"))


@pytest.fixture
def written(tmp_path):
    files = write_dicom(answer(typicality=0.004, is_unusual=True), "cxr_binary", image(), tmp_path / "out")
    return [Path(one) for one in files]


def test_a_report_and_a_picture_for_each_positive_finding(written):
    report, *captures = map(pydicom.dcmread, written)
    assert [one.Modality for one in (report, *captures)] == ["SR", "OT", "OT"]
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert len({one.SOPInstanceUID for one in (report, *captures)}) == 3
    assert captures[0].SeriesInstanceUID == captures[1].SeriesInstanceUID != report.SeriesInstanceUID
    assert captures[0].pixel_array.shape == (344, 684, 3)


def test_they_belong_to_the_study_and_the_image(written):
    for dataset in map(pydicom.dcmread, written):
        for name in ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber", "PatientBirthDate"):
            assert str(dataset.get(name)) == IDENTIFYING[name], name
    report = pydicom.dcmread(written[0])
    (evidence,) = report.CurrentRequestedProcedureEvidenceSequence
    referenced = evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert referenced.ReferencedSOPInstanceUID == IDENTIFYING["SOPInstanceUID"]


def test_the_numbers_are_those_of_the_answer(written):
    shown = texts(pydicom.dcmread(written[0]))
    for word in ("91.34", "51.0", "2.0", "0.004", "Model output: Pneumonia", "cxr_binary version 7"):
        assert word in shown, word


def test_nothing_says_a_diagnosis(written):
    """Each object says that it is none, and no code of a disease stands in it."""
    for dataset in map(pydicom.dcmread, written):
        assert "not a diagnosis" in texts(dataset).lower()
        coded = {one.value for one in dataset.iterall() if one.keyword == "CodeMeaning"}
        scheme = {"Yes", "No", "Plain chest X-ray"}
        words = " ".join(coded - scheme)
        assert "Model output: Pneumonia" in words or dataset.Modality == "OT"
        assert "Pneumonia" not in coded and "Mass" not in coded


def test_files_are_for_the_owner_and_their_names_tell_no_patient(written):
    for path in written:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not any(value in path.name for value in IDENTIFYING.values())


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not on PATH (Debian: dicom3tools)")
@pytest.mark.parametrize("name", ["Doe^Jane", "Müller^Jörg", "山田^太郎"])
def test_a_validator_finds_no_error(tmp_path, name):
    content = image(PatientName=name, SpecificCharacterSet="ISO_IR 192")
    for path in write_dicom(answer(), "cxr_multilabel", content, tmp_path):
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        # What the image's own header has wrong, its UID made up for tests among it, is not the result's.
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert errors == [], path
        assert str(pydicom.dcmread(path).PatientName) == name


@pytest.mark.parametrize("lacking", ["PatientID", "PatientName", "StudyDate", "AccessionNumber", "StudyID"])
def test_headers_that_leave_out_what_may_be_empty_will_do(tmp_path, lacking):
    files = write_dicom(answer(), "cxr_binary", image(**{lacking: None}), tmp_path)
    assert not pydicom.dcmread(files[0]).get(lacking)


@pytest.mark.parametrize("told", ["NO", None])
def test_what_is_written_in_the_image_is_told_as_its_header_does(tmp_path, told):
    _, capture, *_ = write_dicom(answer(), "cxr_binary", image(BurnedInAnnotation=told), tmp_path)
    assert pydicom.dcmread(capture).get("BurnedInAnnotation") == told


def test_what_cannot_be_filed_is_told(tmp_path):
    with pytest.raises(DataDefect, match="lacks StudyInstanceUID"):
        write_dicom(answer(), "cxr_binary", image(StudyInstanceUID=None), tmp_path)
    with pytest.raises(DataDefect, match="expected a DICOM file"):
        write_dicom(answer(), "cxr_binary", b"\x89PNG", tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="found a file"):
        write_dicom(answer(), "cxr_binary", image(), tmp_path / "file")


def test_the_command_writes_them_and_goes_on_after_what_is_no_dicom(cxr_home, tmp_path, capsys, monkeypatch):
    (tmp_path / "a.dcm").write_bytes(image())
    (tmp_path / "b.png").write_bytes(b"\x89PNG no dicom")
    with fake_server(takes=b"\x89PNG") as server:
        monkeypatch.setenv("CXR_GRPC_PORT", str(server.grpc_port))
        out = tmp_path / "out"
        assert main(["predict", "--dicom", str(out), str(tmp_path / "a.dcm"), str(tmp_path / "b.png")]) == 1
    assert "b.png: expected a DICOM file to write a DICOM result for" in capsys.readouterr().err
    assert len(list(out.iterdir())) == 2
