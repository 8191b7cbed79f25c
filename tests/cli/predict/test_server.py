"""``cxr predict`` with servers that are away, elsewhere, older, or change in the middle."""

from __future__ import annotations

import csv
import io
import json

import pytest

from cxr_tasks.cli.main import main
from tests.serving.client.fake_server import GOOD, VERSION, fake_server


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


def test_a_version_from_before_there_was_a_lenient_signature_still_answers(server, files, capsys):
    server.has_lenient = False
    assert main(["predict", str(files / "good.png")]) == 0
    assert "0.750" in capsys.readouterr().out
