"""``cxr predict`` of DICOM files: sent as pixels without their header, refused in one line, with cautions."""

from __future__ import annotations

import json

from cxr_tasks.cli.main import main
from cxr_tasks.cli.predict_cautions import _trained_on
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract, TrainedOn
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.images.dicom import dicom_as_png
from cxr_tasks.registry.version_files import write_contract
from serving.client import image_bytes
from serving.served.version_folders import version_folder
from tests.images.dicom.files import IDENTIFYING, dicom_file
from tests.serving.client.fake_server import IMAGE, VERSION


def test_a_dicom_file_is_sent_as_the_png_of_its_pixels_without_its_header(server, tmp_path, capsys):
    server.takes = b"\x89PNG"
    content = dicom_file(PhotometricInterpretation="MONOCHROME1")
    (tmp_path / "scan.dcm").write_bytes(content)
    (tmp_path / "IM000001").write_bytes(content)  # told by its content, whatever its name
    assert main(["predict", str(tmp_path / "scan.dcm"), str(tmp_path / "IM000001")]) == 0
    assert server.images == [dicom_as_png(content)] * 2
    assert not any(value.encode() in image for image in server.images for value in IDENTIFYING.values())


def test_a_refused_dicom_file_gets_one_line_and_is_not_sent(server, tmp_path, capsys):
    server.takes = b"\x89PNG"
    (tmp_path / "knee.dcm").write_bytes(dicom_file(BodyPartExamined="KNEE"))
    (tmp_path / "torn.dcm").write_bytes(dicom_file()[:-50])
    (tmp_path / "good.dcm").write_bytes(dicom_file())
    assert main(["predict", *(str(tmp_path / name) for name in ("knee.dcm", "torn.dcm", "good.dcm"))]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        f"{tmp_path / 'knee.dcm'}: expected a chest; the body part says: KNEE; leave this file out",
        f"{tmp_path / 'torn.dcm'}: 384 bytes of pixels expected, the file ends after 334; fetch the file again",
    ]
    assert "good.dcm" in captured.out
    assert len(server.images) == 1


def test_a_file_that_is_too_large_is_not_sent(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(image_bytes, "MOST_FILE_BYTES", 100)
    (tmp_path / "large.png").write_bytes(IMAGE + bytes(200))
    (tmp_path / "scan.dcm").write_bytes(dicom_file())
    assert main(["predict", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("expected at most") == 2
    assert server.requests == []


def test_a_child_and_a_lateral_view_are_told_where_the_model_was_trained_without(server, tmp_path, capsys):
    """The version that answers has its folder on this machine; without it nothing is known."""
    server.takes = b"\x89PNG"
    (tmp_path / "child.dcm").write_bytes(dicom_file(PatientAge="009Y", ViewPosition="LL"))
    (tmp_path / "adult.dcm").write_bytes(dicom_file(PatientAge="050Y", ViewPosition="PA"))
    names = [str(tmp_path / "child.dcm"), str(tmp_path / "adult.dcm")]
    assert main(["predict", *names]) == 0
    assert "rely less on it" not in capsys.readouterr().err
    trained_on = TrainedOn(n_images=900, n_age_known=880, n_under_18=3, n_view_known=700, n_lateral=0)
    decision = FindingDecision(finding="pneumonia", a=1.0, b=0.0, threshold=0.5)
    folder = version_folder("cxr_binary", VERSION) / "assets.extra"
    folder.mkdir(parents=True)
    write_contract(
        ServingContract(
            model_name="cxr_binary", pixels=PixelSpec(size_px=32), decisions=(decision,), dataset="adults",
            dataset_fingerprint="0" * 64, recipe="made", recipe_sha256="0" * 64, trained_on=trained_on,
        ),
        folder,
    )  # fmt: skip
    _trained_on.cache_clear()
    assert main(["predict", *names]) == 0
    lines = [one for one in capsys.readouterr().err.splitlines() if "rely less on it" in one]
    assert len(lines) == 2
    assert all("child.dcm" in one for one in lines)
    assert "9 years old" in lines[0] and "3 are of patients under 18" in lines[0]
    assert "lateral view" in lines[1]
    assert main(["predict", "--json", names[0]]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["cautions"]) == 2
    _trained_on.cache_clear()
