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
from tests.images.dicom.files import dicom_file
from tests.serving.client.fake_server import GOOD, IMAGE, VERSION


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
