"""Batch scoring against a server on the loopback interface: each image once, whatever is killed, full or done twice."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_tasks.cli.main import main
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, DiskFull, ServiceUnavailable
from cxr_tasks.contracts.handoffs.afterwards import ScoredBatch, ScorePlan
from cxr_tasks.score import listing, part
from cxr_tasks.score.part import answers_path
from cxr_tasks.score.stage import ScoreRequest, collect_scores, plan_scoring, score_all, score_part, shares_of
from serving.client import NotServed
from serving.client.batches import BATCH_SIZE
from tests.serving.client.fake_server import IMAGE, VERSION, fake_server


@pytest.fixture
def server(cxr_home, monkeypatch):
    with fake_server() as fake:
        monkeypatch.setenv("CXR_GRPC_PORT", str(fake.grpc_port))
        yield fake


def images_in(folder: Path, n: int) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(n):
        (folder / f"{number:05}.png").write_bytes(IMAGE + b"x" * (number % 60))
    return folder


def request_for(server, source: Path, **changes) -> ScoreRequest:
    return replace(ScoreRequest(source=source, model="cxr_binary", address=server.grpc_address), **changes)


def scored(batch: ScoredBatch) -> list[dict]:
    return pq.read_table(batch.parquet.uri).to_pylist()


def test_each_image_has_a_row_in_both_tables(server, tmp_path):
    server.typicality = True
    folder = images_in(tmp_path / "images", 30)
    (folder / "bad.png").write_text("text")
    (folder / "strange.png").write_bytes(IMAGE + b"strange")
    (folder / "marked.png").write_bytes(IMAGE + b"mark")
    batch = score_all(plan_scoring(request_for(server, folder)))
    assert (batch.n_images, batch.n_answered, batch.n_refused, batch.n_unusual) == (33, 32, 1, 1)
    rows = {row["file"]: row for row in scored(batch)}
    assert rows["00007.png"] == {
        "file": "00007.png",
        "model": "cxr_binary",
        "version": VERSION,
        "fingerprint": "",
        "probability_pneumonia": pytest.approx((len(IMAGE) + 7) / 100),
        "decision_pneumonia": False,
        "typicality": pytest.approx(0.6),
        "is_unusual": False,
        "note": "",
        "error": "",
    }
    assert rows["bad.png"]["error"] == "no image" and rows["bad.png"]["probability_pneumonia"] is None
    assert rows["strange.png"]["is_unusual"] and rows["marked.png"]["note"] == "holds a mark"
    with open(batch.csv.uri, newline="", encoding="utf-8") as stream:
        told = list(csv.DictReader(stream))
    assert [row["file"] for row in told] == list(rows)
    assert batch.n_positive == {"pneumonia": sum(bool(row["decision_pneumonia"]) for row in rows.values())}


def test_handoffs_come_back_as_they_were(server, tmp_path):
    plan = plan_scoring(request_for(server, images_in(tmp_path / "images", 3)))
    assert ScorePlan.from_payload(json.loads(json.dumps(plan.to_payload()))) == plan
    batch = score_all(plan)
    assert ScoredBatch.from_payload(json.loads(json.dumps(batch.to_payload()))) == batch


def test_odd_names_are_kept_apart_and_harmless(server, tmp_path):
    names = ["=cmd|'calc'!A0.png", "a\nb.png", 'q"uote.png', "名前 läng.png", os.fsdecode(b"raw\xff.png")]
    (tmp_path / "images").mkdir()
    for name in names:
        (tmp_path / "images" / name).write_bytes(IMAGE)
    batch = score_all(plan_scoring(request_for(server, tmp_path / "images")))
    assert (batch.n_images, batch.n_refused) == (5, 0)
    assert {row["file"] for row in scored(batch)} == {*names[2:4], names[0], "a\\nb.png", "raw\\xff.png"}
    with open(batch.csv.uri, newline="", encoding="utf-8") as stream:
        assert "'=cmd|'calc'!A0.png" in {row["file"] for row in csv.DictReader(stream)}


@pytest.mark.parametrize(("form", "mark", "encoding"), [
    (".csv", ",", "utf-8"), (".csv", ";", "utf-8-sig"), (".csv", "\t", "utf-16"), (".parquet", "", ""),
])  # fmt: skip
def test_a_table_names_the_files(server, tmp_path, form, mark, encoding):
    images_in(tmp_path / "images", 3)
    names = ["images/00002.png", str(tmp_path / "images" / "00000.png"), "images/absent.png"]
    table = tmp_path / f"studies{form}"
    if form == ".csv":
        table.write_text(f"study{mark}file\n" + "".join(f"1{mark}{name}\n" for name in names), encoding)
    else:
        pq.write_table(pa.table({"study": [1, 1, 2], "file": names}), table)
    rows = scored(score_all(plan_scoring(request_for(server, table))))
    assert [row["file"] for row in rows] == names
    assert [row["error"] for row in rows] == ["", "", "No such file or directory"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"path\nx.png\n", "line 1: expected a column 'file'; found: 'path'"),
        ("a.csv", b'n,file\n1," "\n', "line 2: expected the path"),
        ("a.csv", b"", "found an empty file"),
        ("a.csv", b"file\n", "expected image files, found none"),
        ("a.parquet", b"junk", "expected a Parquet table"),
        ("a.csv", b'file,n\n"x.png,1\ny.png,2\nz.png,3\n', "line 2: .*a quotation mark opens on this line"),
        ("a.csv", b"file,file\nx.png,y.png\n", "column 'file' is named twice"),
        ("a.csv", b"File\nx.png\n", "did you mean 'File'"),
        ("a.csv", b"PK\x03\x04", "an Excel workbook"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_by_name(server, tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataDefect, match=words):
        plan_scoring(request_for(server, tmp_path / name))
    assert not list((Path(os.environ["CXR_HOME"]) / "scores").rglob("plan.json"))


def test_a_table_names_files_as_another_system_does(server, tmp_path):
    images_in(tmp_path / "images", 1)
    (tmp_path / "a.csv").write_text("file\nimages\\00000.png\n")
    (row,) = scored(score_all(plan_scoring(request_for(server, tmp_path / "a.csv"))))
    assert (row["file"], row["error"]) == ("images\\00000.png", "")


def test_what_is_neither_folder_nor_table_is_refused(server, tmp_path):
    (tmp_path / "a.txt").write_text("x")
    for name in ("a.txt", "absent"):
        with pytest.raises(ConfigurationError, match="expected a folder of images, or a table"):
            request_for(server, tmp_path / name)
    with pytest.raises(ConfigurationError, match="expected an absolute path"):
        request_for(server, Path("images"))
    with pytest.raises(ConfigurationError, match="did you mean 'cxr_binary'"):
        request_for(server, tmp_path, model="cxr_binari")


def test_a_killed_scoring_goes_on_and_scores_nothing_twice(server, tmp_path):
    """kill -9 in the middle of a part, and half a line as a full disk or a lost power leaves it."""
    folder = images_in(tmp_path / "images", 400)
    server.slow_s = 0.02
    command = [sys.executable, "-c", "import sys; from cxr_tasks.cli.main import main; sys.exit(main(sys.argv[1:]))"]
    job = subprocess.Popen([*command, "score", str(folder)], stdout=subprocess.DEVNULL)
    (scores,) = (Path(os.environ["CXR_HOME"]) / "scores",)
    while not any(one.stat().st_size > 15000 for one in scores.rglob("*.answers")):
        assert job.poll() is None
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait()
    server.slow_s = 0.0
    (answers,) = scores.rglob("*.answers")
    n_before = answers.read_bytes().count(b"\n")
    with open(answers, "ab") as stream:
        stream.write(b'{"file":"0')
    assert main(["score", str(folder)]) == 0
    # Asked again are those that were under way: of N_AT_ONCE requests and the one that was being written.
    assert 400 <= len(server.images) <= 400 + (part.N_AT_ONCE + 2) * BATCH_SIZE < 400 + n_before
    (table,) = scores.rglob("scores.parquet")
    assert pq.read_table(table).column("file").to_pylist() == [f"{n:05}.png" for n in range(400)]


def test_new_images_are_those_of_the_next_scoring(server, tmp_path):
    folder = images_in(tmp_path / "images", 3)
    plan = plan_scoring(request_for(server, folder))
    (folder / "later.png").write_bytes(IMAGE)
    assert plan_scoring(request_for(server, folder)) == plan  # goes on with the list that was made
    first = score_all(plan)
    second = score_all(plan_scoring(request_for(server, folder)))
    assert (first.n_images, second.n_images) == (3, 4)
    assert first.parquet.uri != second.parquet.uri
    assert score_all(plan) == first  # done: not asked again
    assert len(server.images) == 7


def test_a_part_is_scored_by_one_at_a_time(server, tmp_path):
    server.slow_s = 0.3
    plan = plan_scoring(request_for(server, images_in(tmp_path / "images", 20)))
    first = threading.Thread(target=score_part, args=(plan, 0))
    first.start()
    while not server.requests:
        time.sleep(0.01)
    with pytest.raises(ServiceUnavailable, match="expected nobody else"):
        score_part(plan, 0)
    first.join()
    assert collect_scores(plan).n_images == 20


def test_parts_are_scored_in_any_order_and_collected_in_theirs(server, tmp_path, monkeypatch):
    monkeypatch.setattr(listing.write_parts, "__defaults__", (7,))
    plan = plan_scoring(request_for(server, images_in(tmp_path / "images", 30)))
    assert plan.n_parts == 5 and shares_of(plan, 2) == [[0, 1, 2], [3, 4]]
    for number in (3, 0, 4, 1):
        score_part(plan, number)
    with pytest.raises(DataDefect, match="answers to 30 images, found 23"):
        collect_scores(plan)
    score_part(plan, 2)
    assert [row["file"] for row in scored(collect_scores(plan))] == [f"{n:05}.png" for n in range(30)]


def test_a_version_that_serves_no_more_ends_it_and_what_is_done_is_kept(server, tmp_path):
    plan = plan_scoring(request_for(server, images_in(tmp_path / "images", 200)))
    run = server.run

    def released_meanwhile(*values):
        if len(server.images) >= 80:
            server.versions = {8: "AVAILABLE"}
            server.labels = {"stable": 8}
        return run(*values)

    server.run = released_meanwhile
    with pytest.raises(NotServed, match="version 7: expected it to serve until all is scored"):
        score_part(plan, 0)
    # Of the 80 images that were sent by then, those of four requests of 16 may still have been on their way.
    assert answers_path(Path(plan.folder) / "parts", 0).read_bytes().count(b"\n") >= 80 - 4 * 16
    # Asked anew, the version that serves now scores all.
    assert {row["version"] for row in scored(score_all(plan_scoring(request_for(server, Path(plan.source)))))} == {8}


def test_a_full_disk_is_told_and_the_scoring_goes_on_when_there_is_room(server, tmp_path, monkeypatch):
    plan = plan_scoring(request_for(server, images_in(tmp_path / "images", 50)))
    opened = open

    class Full(io.FileIO):
        """Takes 1000 bytes and no more."""

        def write(self, line):
            room = 1000 - self.tell()
            super().write(line[: max(room, 0)])
            if len(line) > room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return len(line)

    def full(path, mode, **named):
        return Full(path, mode) if mode == "ab" else opened(path, mode, **named)

    monkeypatch.setattr(part, "open", full, raising=False)
    with pytest.raises(DiskFull, match="the disk is full"):
        score_part(plan, 0)
    monkeypatch.delattr(part, "open")
    assert [row["file"] for row in scored(score_all(plan))] == [f"{n:05}.png" for n in range(50)]


def test_a_folder_of_ones_own_choice(server, tmp_path, capsys):
    folder, out = images_in(tmp_path / "images", 5), tmp_path / "out"
    assert main(["score", str(folder), "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["n_answered"], told["folder"]) == (5, str(out))
    assert {one.name for one in out.iterdir()} == {"parts", "plan.json", "scores.csv", "scores.parquet", "summary.json"}
    (out / "scores.parquet").unlink()  # the tables are made again, of the answers that are there
    assert main(["score", str(folder), "--out", str(out)]) == 0 and (out / "scores.parquet").is_file()
    capsys.readouterr()
    (tmp_path / "other").mkdir()
    assert main(["score", str(folder), "--out", str(tmp_path / "other")]) == 1
    assert "expected no such folder yet" in capsys.readouterr().err
    assert main(["score", str(images_in(tmp_path / "more", 2)), "--out", str(out)]) == 1
    assert "choose another folder" in capsys.readouterr().err


def test_scripts_are_told_by_the_exit_code_what_is_wrong(server, tmp_path, capsys, monkeypatch):
    from serving.check.server_process import free_port

    folder = images_in(tmp_path / "images", 3)
    (tmp_path / "none").mkdir()
    assert main(["score", str(tmp_path / "none")]) == 1
    assert main(["score", str(folder), "--version", "9"]) == 4
    monkeypatch.setenv("CXR_GRPC_PORT", str(free_port()))
    assert main(["score", str(folder)]) == 3


def test_any_number_of_images_in_constant_memory(server, tmp_path):
    """20 times as many images take hardly more memory; measured in a process of its own."""
    table = tmp_path / "images.csv"
    images_in(tmp_path, 1)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from cxr_tasks.score import listing; listing.write_parts.__defaults__ = (200,)\n"
        "from cxr_tasks.score.stage import ScoreRequest, plan_scoring, score_all\n"
        "request = ScoreRequest(source=Path(sys.argv[1]), model='cxr_binary', address=sys.argv[2])\n"
        "score_all(plan_scoring(request)); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for n in (400, 8000):
        table.write_text("file\n" + "00000.png\n" * n)
        done = subprocess.run(
            [sys.executable, "-c", code, str(table), server.grpc_address], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 25, peaks
