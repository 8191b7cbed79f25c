"""``cxr predict`` against a server on the loopback interface that answers as the model server's REST port does."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from typing import ClassVar

import pytest

from cxr_tasks.cli import predict
from cxr_tasks.cli.main import main
from cxr_tasks.images.dicom import dicom_as_png
from tests.images.dicom.files import IDENTIFYING, dicom_file


class _Rest(http.server.BaseHTTPRequestHandler):
    images: ClassVar[list[bytes]] = []
    """What was sent, in order."""
    knows_lenient: ClassVar[bool] = True
    """Whether its version was exported with the signature ``lenient``."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        image = base64.b64decode(body["instances"][0]["image_bytes"]["b64"])
        self.images.append(image)
        if self.path != "/v1/models/cxr_binary/labels/stable:predict":
            self._answer(404, {"error": f"Servable not found for request: {self.path}"})
        elif body.get("signature_name") == "lenient":
            if self.knows_lenient:
                is_image = image.startswith((b"\xff\xd8", b"\x89PNG"))
                status = ("ok: holds a mark" if b"mark" in image else "ok") if is_image else "refused: no image"
                row = {"labels": ["pneumonia"], "probabilities": [0.75], "decisions": [True], "status": status}
                self._answer(200, {"predictions": [row]})
            else:
                self.images.pop()
                self._answer(400, {"error": 'Serving signature name: "lenient" not found in signature def'})
        else:
            row = {"labels": ["pneumonia"], "probabilities": [0.75], "decisions": [True]}
            self._answer(200, {"predictions": [row]})

    def _answer(self, code, value):
        text = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments):
        """Quiet: the test reads what the command prints."""


@pytest.fixture
def rest_port(cxr_home, monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Rest)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("CXR_REST_PORT", str(server.server_port))
    _Rest.images.clear()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def files(tmp_path):
    (tmp_path / "good.jpeg").write_bytes(b"\xff\xd8 not decoded by this test")
    (tmp_path / "bad.txt").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    return tmp_path


def test_a_bad_file_gets_one_line_and_the_others_go_on(rest_port, files, capsys):
    names = ["bad.txt", "empty.png", "absent.png", "good.jpeg"]
    assert main(["predict", *(str(files / name) for name in names)]) == 1
    captured = capsys.readouterr()
    assert "good.jpeg" in captured.out
    assert "Pneumonia" in captured.out
    assert "0.750" in captured.out
    assert "positive" in captured.out
    errors = captured.err.strip().splitlines()
    assert len(errors) == 3
    assert errors[0].endswith("bad.txt: no image")
    assert "found an empty file" in errors[1]
    assert "No such file" in errors[2]


def test_json_holds_every_file(rest_port, files, capsys):
    assert main(["predict", "--json", str(files / "good.jpeg")]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows == [
        {
            "file": str(files / "good.jpeg"),
            "findings": [{"finding": "pneumonia", "probability": 0.75, "decision": True}],
            "error": None,
            "note": "",
        }
    ]


def test_what_is_to_be_known_of_an_image_is_said(rest_port, tmp_path, capsys):
    (tmp_path / "arrow.jpeg").write_bytes(b"\xff\xd8 with a mark")
    assert main(["predict", str(tmp_path / "arrow.jpeg")]) == 0
    captured = capsys.readouterr()
    assert captured.err.strip().endswith("arrow.jpeg: holds a mark") and "0.750" in captured.out


def test_a_version_from_before_there_was_a_lenient_signature_still_answers(rest_port, files, capsys, monkeypatch):
    monkeypatch.setattr(_Rest, "knows_lenient", False)
    assert main(["predict", str(files / "good.jpeg")]) == 0
    assert "0.750" in capsys.readouterr().out


def test_no_server_is_said_once(cxr_home, monkeypatch, files, capsys):
    from serving.check.server_process import free_port

    monkeypatch.setenv("CXR_REST_PORT", str(free_port()))
    assert main(["predict", str(files / "good.jpeg"), str(files / "good.jpeg")]) == 1
    assert capsys.readouterr().err.count("expected an answer, found none") == 1


def test_a_dicom_file_is_sent_as_the_png_of_its_pixels_without_its_header(rest_port, tmp_path, capsys):
    content = dicom_file(PhotometricInterpretation="MONOCHROME1")
    (tmp_path / "scan.dcm").write_bytes(content)
    (tmp_path / "IM000001").write_bytes(content)  # told by its content, whatever its name
    assert main(["predict", str(tmp_path / "scan.dcm"), str(tmp_path / "IM000001")]) == 0
    assert _Rest.images == [dicom_as_png(content)] * 2
    assert not any(value.encode() in image for image in _Rest.images for value in IDENTIFYING.values())
    assert capsys.readouterr().out.count("0.750") == 2


def test_a_refused_dicom_file_gets_one_line_and_is_not_sent(rest_port, tmp_path, capsys):
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
    assert len(_Rest.images) == 1


def test_a_dicom_file_whose_pixels_are_too_large_is_not_sent(rest_port, tmp_path, monkeypatch, capsys):
    content = dicom_file()
    (tmp_path / "scan.dcm").write_bytes(content)
    monkeypatch.setattr(predict, "MAX_FILE_BYTES", len(content))
    monkeypatch.setattr(predict, "dicom_as_png", lambda content: b"\x89PNG" + content)
    assert main(["predict", str(tmp_path / "scan.dcm")]) == 1
    assert "its pixels take" in capsys.readouterr().err
    assert _Rest.images == []
