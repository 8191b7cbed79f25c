"""``cxr predict`` against a server on the loopback interface that answers as a model server does."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cxr_tasks.cli.main import main
from cxr_tasks.cli.predict_cautions import _trained_on
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract, TrainedOn
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.images.dicom import dicom_as_png
from cxr_tasks.registry.version_files import write_contract
from serving.client import image_bytes
from serving.served.version_folders import version_folder
from tests.images.dicom.files import IDENTIFYING, dicom_file
from tests.serving.client.fake_server import IMAGE, VERSION, fake_server

GOOD = IMAGE + b"x" * 67  # 75 bytes, which the fake model takes for 0.75


@pytest.fixture
def server(cxr_home, monkeypatch):
    with fake_server() as fake:
        monkeypatch.setenv("CXR_GRPC_PORT", str(fake.grpc_port))
        monkeypatch.setenv("CXR_REST_PORT", str(fake.rest_port))
        yield fake


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.png").write_bytes(GOOD)
    (folder / "bad.jpeg").write_text("no image")
    (folder / "empty.png").write_bytes(b"")
    return folder


def test_a_bad_file_gets_one_line_and_the_others_go_on(server, files, capsys):
    names = ["bad.jpeg", "empty.png", "absent.png", "good.png"]
    assert main(["predict", *(str(files / name) for name in names)]) == 1
    captured = capsys.readouterr()
    for word in ("good.png", "Pneumonia", "0.750", "positive", "Research use only"):
        assert word in captured.out
    errors = captured.err.strip().splitlines()
    assert len(errors) == 3
    assert errors[0].endswith("bad.jpeg: no image")
    assert "found an empty file" in errors[1]
    assert "No such file" in errors[2]


def test_json_holds_every_file(server, files, capsys):
    assert main(["predict", "--json", str(files / "good.png")]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    (finding,) = row.pop("findings")
    assert finding == {"finding": "pneumonia", "probability": pytest.approx(0.75), "decision": True}
    assert row == {
        "file": str(files / "good.png"),
        "model": "cxr_binary",
        "version": VERSION,
        "typicality": None,
        "is_unusual": None,
        "error": None,
        "note": "",
        "cautions": [],
        "files": [],
    }


def test_csv_is_safe_to_open_in_a_spreadsheet(server, tmp_path, capsys, monkeypatch):
    odd = ["=HYPERLINK(1).png", "two\nlines.png", 'quote".png', "läng, 名前.png"]
    for name in odd:
        (tmp_path / name).write_bytes(GOOD)
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "--csv", *odd, "absent.png"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["file"] for row in rows] == ["'=HYPERLINK(1).png", "two\\nlines.png", *odd[2:], "absent.png"]
    assert [row["probability"][:4] for row in rows] == ["0.75"] * 4 + [""]
    assert rows[0]["decision"] == "True" and rows[-1]["error"] == "No such file or directory"


def test_a_folder_is_walked_and_what_is_left_out_is_said(server, files, tmp_path, capsys):
    (files / "deep").mkdir()
    (files / "deep" / "IM0001").write_bytes(dicom_file())
    (files / "deep" / "notes.txt").write_text("notes")
    (files / "deep" / "again").symlink_to(files)  # a circle
    (files / "broken.png").symlink_to(files / "nowhere.png")
    os.mkfifo(files / "pipe.png")
    (files / ".hidden.png").write_bytes(GOOD)
    assert main(["predict", "--json", str(files)]) == 1
    captured = capsys.readouterr()
    asked = {Path(row["file"]).name: row["error"] for row in json.loads(captured.out)}
    assert set(asked) == {"bad.jpeg", "broken.png", "empty.png", "good.png", "IM0001"}
    assert asked["good.png"] is None and asked["broken.png"] == "No such file or directory"
    assert "1 files that are no images were left out" in captured.err
    assert "pipe.png: not a file" in captured.err


def test_an_empty_folder_is_no_success(server, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    assert main(["predict", str(tmp_path / "none")]) == 1
    assert "expected image files, found none" in capsys.readouterr().err


def test_thousands_of_files_keep_their_order(server, tmp_path, capsys):
    for number in range(1500):
        (tmp_path / f"{number:04}.png").write_bytes(IMAGE + b"x" * (number % 50))
    assert main(["predict", "--json", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    expected = [(f"{n:04}.png", (len(IMAGE) + n % 50) / 100) for n in range(1500)]
    assert [(Path(row["file"]).name, row["findings"][0]["probability"]) for row in rows] == [
        (name, pytest.approx(probability)) for name, probability in expected
    ]


def test_several_models_answer_side_by_side(server, files, capsys):
    names = [str(files / "good.png")] * 3
    assert main(["predict", "--model", "cxr_binary", "--model", "cxr_multilabel", *names]) == 0
    shown = capsys.readouterr().out
    assert shown.count("cxr_multilabel") == shown.count("cxr_binary") == 3


def test_an_unusual_image_is_told_and_not_to_be_relied_on(server, tmp_path, capsys):
    server.typicality = True
    (tmp_path / "leg.png").write_bytes(GOOD + b"strange")
    (tmp_path / "chest.png").write_bytes(GOOD)
    assert main(["predict", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "typicality" in captured.out and "0.001 unusual" in captured.out and "0.600" in captured.out
    (line,) = captured.err.strip().splitlines()
    assert "leg.png" in line and "do not rely on it" in line


def test_what_is_to_be_known_of_an_image_is_said(server, tmp_path, capsys):
    (tmp_path / "arrow.png").write_bytes(GOOD + b"mark")
    assert main(["predict", str(tmp_path / "arrow.png")]) == 0
    assert capsys.readouterr().err.strip().endswith("arrow.png: holds a mark")


def test_an_answer_without_a_number_is_none(server, tmp_path, capsys):
    (tmp_path / "odd.png").write_bytes(GOOD + b"no number")
    assert main(["predict", str(tmp_path / "odd.png"), "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out, parse_constant=pytest.fail)[0]["findings"] == []
    assert "NaN" in captured.err
    server.has_lenient = False
    assert main(["predict", str(tmp_path / "odd.png")]) == 1


def test_versions_that_changed_in_the_middle_are_told(server, tmp_path, capsys):
    class Released(dict):
        n_asked = 0

        def __getitem__(self, label):
            self.n_asked += 1
            return VERSION + (self.n_asked > 2)

    for number in range(60):
        (tmp_path / f"{number:02}.png").write_bytes(GOOD)
    server.versions[VERSION + 1] = "AVAILABLE"
    assert main(["predict", str(tmp_path), "--csv"]) == 0
    assert not capsys.readouterr().err
    server.labels = Released(stable=VERSION)
    assert main(["predict", str(tmp_path), "--csv"]) == 0
    captured = capsys.readouterr()
    assert {row["version"] for row in csv.DictReader(io.StringIO(captured.out))} == {"7", "8"}
    assert "versions 7 and 8 answered" in captured.err


def test_a_folder_that_cannot_be_made_gets_one_line(server, files, capsys):
    assert main(["predict", str(files / "good.png"), "--explain", "/proc/nowhere"]) == 1
    assert capsys.readouterr().err.strip() == "cxr: /proc/nowhere: No such file or directory"


def test_an_image_on_stdin(server, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(GOOD), isatty=lambda: False))
    assert main(["predict", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["file"] == "-"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b""), isatty=lambda: False))
    assert main(["predict", "-"]) == 1
    assert "-: expected an image, found an empty file" in capsys.readouterr().err


def test_scripts_are_told_by_the_exit_code_what_is_wrong(server, files, capsys, monkeypatch):
    good = str(files / "good.png")
    assert main(["predict", good, "--version", "9"]) == 4
    assert main(["predict", good, "--label", "canary"]) == 4
    errors = capsys.readouterr().err
    assert "expected it to serve cxr_binary version 9, found that it does not (NOT_FOUND: Servable not found" in errors
    assert "expected it to serve cxr_binary at label 'canary', found that it does not (INVALID_ARGUMENT: Unr" in errors
    assert "'cxr models' lists what there is" in errors
    assert main(["predict", good, "--version", str(2**63)]) == 1
    assert main(["predict", good, "--server", "http://[junk"]) == 3
    with pytest.raises(SystemExit) as ended:
        main(["predict", good, "--version", "9", "--label", "canary"])
    assert ended.value.code == 2


def test_no_server_is_said_once_and_alone(cxr_home, monkeypatch, files, capsys):
    from serving.check.server_process import free_port

    monkeypatch.setenv("CXR_GRPC_PORT", str(free_port()))
    assert main(["predict", "--json", str(files / "good.png"), str(files / "good.png")]) == 3
    captured = capsys.readouterr()
    assert captured.err.count("expected an answer, found none") == 1
    assert captured.out == ""


def test_json_stays_whole_when_the_server_goes_away(server, tmp_path, capsys, monkeypatch):
    for number in range(200):
        (tmp_path / f"{number:04}.png").write_bytes(GOOD)
    run = server.run

    def gone_after_100(*values):
        if len(server.images) >= 100:
            server.fail_with = [("UNAVAILABLE", "Socket closed")] * 100
        return run(*values)

    monkeypatch.setattr(server, "run", gone_after_100)
    assert main(["predict", "--json", str(tmp_path)]) == 3
    assert 50 < len(json.loads(capsys.readouterr().out)) < 200


def test_another_server_by_rest(cxr_home, files, capsys):
    with fake_server() as other:
        assert main(["predict", "--server", other.rest_url, str(files / "good.png")]) == 0
    assert "0.750" in capsys.readouterr().out


def test_heat_maps_are_written_as_pictures(server, tmp_path, capsys):
    from PIL import Image

    # The fake model takes the bytes for a score and needs no whole image; the picture under the map does.
    monkey = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    stream = io.BytesIO()
    Image.fromarray(monkey).save(stream, "PNG")
    server.takes = b"\x89PNG"
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "名 1.png").write_bytes(stream.getvalue())
    out = tmp_path / "maps"
    assert main(["predict", "--json", "--explain", str(out), str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    rows = json.loads(capsys.readouterr().out)
    pictures = [one for row in rows for one in row["files"]]
    assert len(set(pictures)) == 2 == len(list(out.iterdir()))
    assert all(Image.open(one).size == (684, 300) for one in pictures)
    for option in ("--explain", "--dicom"):
        for inside in (tmp_path / "a", tmp_path / "a" / "maps"):
            assert main(["predict", option, str(inside), str(tmp_path / "b"), str(tmp_path / "a")]) == 1
            assert f"{option}: expected a folder outside {tmp_path / 'a'}" in capsys.readouterr().err
    assert len(list((tmp_path / "a").iterdir())) == 1
    assert main(["predict", "--explain", str(tmp_path / "a" / "名 1.png"), str(tmp_path / "a")]) == 1
    assert "expected a folder for pictures, found a file" in capsys.readouterr().err


def test_a_version_from_before_there_was_a_lenient_signature_still_answers(server, files, capsys):
    server.has_lenient = False
    assert main(["predict", str(files / "good.png")]) == 0
    assert "0.750" in capsys.readouterr().out


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


def test_a_reader_that_has_seen_enough_gets_no_traceback(server, tmp_path):
    for number in range(100):
        (tmp_path / f"{number}.png").write_bytes(GOOD)
    read, write = os.pipe()
    os.close(read)
    code = f"import sys; from cxr_tasks.cli.main import main; sys.exit(main(['predict', '--csv', {str(tmp_path)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("words", [["predict", ""], ["predict", "x.png", "--explain", ""], ["score", ""]])
def test_a_variable_that_a_script_did_not_set_is_no_folder(server, words, capsys):
    assert main(words) == 1
    assert "found an empty" in capsys.readouterr().err
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
