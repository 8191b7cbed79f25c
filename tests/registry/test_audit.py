from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import textwrap

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.storage.paths import audit_log
from cxr_tasks.registry.audit import anchors, chain, trail
from cxr_tasks.registry.audit.anchors import Head
from cxr_tasks.registry.persons import Person
from tests.conftest import in_both


def promote(version=1, **overrides):
    values = {"model": "cxr_binary", "version": version, "who": "anna", "why": "better", "fingerprint": "ab" * 32}
    return trail.record("promoted", **(values | overrides))


@pytest.fixture
def log(cxr_home):
    return audit_log()


@in_both
def test_what_is_recorded_is_read_back_in_order(log):
    first = promote(1, detail={"from": 3, "bounds": [0.5, None]})
    other = promote(2, model="cxr_multilabel")
    refused = trail.record("verdict", model="cxr_binary", version=None, who="airflow")
    assert trail.entries() == [first, other, refused]
    assert trail.entries("cxr_binary") == [first, refused]
    assert [one.seq for one in trail.entries()] == [1, 2, 3]
    assert (first.who, first.why, first.version, first.detail["from"]) == ("anna", "better", 1, 3)
    assert first.at.endswith("+00:00")
    assert trail.verify() == []


@in_both
def test_each_line_is_one_json_object_for_the_owners_eyes_only(log):
    promote(why="two\nlines and a \u2028")
    (line,) = log.read_bytes().splitlines()
    assert json.loads(line)["why"] == "two\nlines and a \u2028"
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.parent.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in log.parent.iterdir()} == {0}


@in_both
def test_before_the_first_record_there_is_nothing_and_nothing_is_wrong(log):
    assert trail.entries() == []
    assert trail.verify() == []
    assert not log.exists()


@pytest.mark.parametrize(
    ("kind", "by", "message"),
    [
        ("promotd", "anna", "expected a kind of event, found 'promotd'; did you mean 'promoted'"),
        ("log_cut", "anna", "expected a kind of event, found 'log_cut'"),
        ("promoted", " ", "expected who caused 'promoted' of cxr_binary version 1, found nobody"),
    ],
)
def test_an_unknown_kind_and_nobody_are_refused(log, kind, by, message):
    with pytest.raises(ConfigurationError, match=message):
        trail.record(kind, model="cxr_binary", version=1, who=by)
    assert trail.entries() == []


@in_both
def test_detail_that_is_no_json_is_refused_and_leaves_no_trace(log):
    with pytest.raises(ValueError, match="not JSON compliant"):
        promote(detail={"auroc": float("nan")})
    assert trail.entries() == []
    assert promote().seq == 1


def test_a_link_in_place_of_the_log_is_refused(log, tmp_path):
    log.parent.mkdir(parents=True)
    log.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="expected a plain file, found a link"):
        promote()
    assert not (tmp_path / "elsewhere").exists()


def test_a_torn_line_is_found_named_and_no_obstacle(log):
    promote(1)
    with open(log, "ab") as stream:
        stream.write(b'{"seq":2,"at":"2026-11')
    (problem,) = trail.problems()
    assert problem.is_torn
    assert str(problem).startswith("line 2: torn: 22 bytes")
    entry = promote(2)
    assert [(one.seq, one.kind) for one in trail.entries()] == [(1, "promoted"), (2, "log_torn"), (3, "promoted")]
    assert entry.seq == 3
    assert b'{"seq":2,"at":"2026-11\n' in log.read_bytes()
    assert trail.verify() == []


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_cut_tail_is_found_and_the_next_record_does_not_hide_it(log, kept):
    for version in (1, 2, 3):
        promote(version)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:kept]))
    (problem,) = trail.verify()
    assert problem.startswith(f"line {kept + 1}: seq 3 had been recorded")
    promote(4)
    assert [one.kind for one in trail.entries()][kept:] == ["log_cut", "promoted"]
    (problem,) = trail.verify()
    assert problem.startswith(f"line {kept + 1}: seq {kept + 1} took note that seq 3")


def test_a_log_that_was_removed_is_missed(log):
    promote()
    log.unlink()
    assert trail.verify() == ["line 1: seq 1 had been recorded, the log has no entry: its last entries were removed"]


def test_a_log_written_anew_is_found_by_the_anchor(log):
    promote(1)
    (log.parent / "head").unlink()
    log.unlink()
    (anchor,) = [promote(2)]
    (log.parent / "head").write_text(f"{Head(1, 'cd' * 32)}\n")
    (problem,) = trail.verify()
    assert f"the log has digest {anchor.digest[:12]}..." in problem


def test_the_end_of_the_last_line_cut_off_is_no_torn_write(log):
    promote(1)
    log.write_bytes(log.read_bytes()[:-1])
    assert [one.is_torn for one in trail.problems()] == [True, False]
    promote(2)
    assert [one.kind for one in trail.entries()][-3:] == ["log_torn", "log_cut", "promoted"]
    assert trail.verify()


def test_a_changed_line_is_named_and_no_obstacle(log):
    promote(1)
    promote(2)
    log.write_bytes(log.read_bytes().replace(b'"version":1', b'"version":7'))
    (problem,) = trail.verify()
    assert problem.startswith("line 1: seq 1 (promoted of cxr_binary version 7) was changed")
    assert promote(3).seq == 3
    assert len(trail.verify()) == 1
    assert [one.version for one in trail.entries()] == [2, 3]


WRITER = """
    import sys
    from cxr_tasks.registry.audit import trail as audit
    name = sys.argv[1]
    for number in range(25):
        audit.record("promoted", model="cxr_binary", version=number, who=name)
"""


@in_both
def test_several_processes_record_at_once(log):
    writers = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(WRITER), f"writer {number}"]) for number in range(4)
    ]
    assert [one.wait(timeout=300) for one in writers] == [0, 0, 0, 0]
    assert trail.verify() == []
    found = trail.entries()
    assert [one.seq for one in found] == list(range(1, 101))
    for number in range(4):
        assert [one.version for one in found if one.who == f"writer {number}"] == list(range(25))


KILLED = """
    import os, signal
    from cxr_tasks.registry.audit import trail as audit
    whole = os.write
    def half(descriptor, content):
        whole(descriptor, bytes(content)[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    os.write = half
    audit.record("promoted", model="cxr_binary", version=2, who="anna")
"""


def test_a_process_killed_in_the_middle_of_a_line_leaves_a_log_that_goes_on(log):
    promote(1)
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED)], timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL
    (problem,) = trail.problems()
    assert problem.is_torn
    promote(3)
    assert [(one.kind, one.version) for one in trail.entries()] == [
        ("promoted", 1),
        ("log_torn", None),
        ("promoted", 3),
    ]
    assert trail.verify() == []


def test_a_log_that_cannot_be_written_is_an_error(log, monkeypatch):
    promote(1)

    def full(descriptor, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            promote(2)
    assert [one.version for one in trail.entries()] == [1]


@pytest.mark.cluster
@pytest.mark.parametrize("cxr_home", ["postgres"], indirect=True)
def test_a_log_of_files_goes_on_in_the_database_and_its_copy_is_mended(log, monkeypatch):
    with monkeypatch.context() as patch:
        patch.delenv("CXR_DATABASE")
        first = promote(1)
    second = promote(2)
    assert trail.entries() == [first, second]
    whole = log.read_bytes()
    log.write_bytes(whole[:-7])  # a process that was killed while it copied
    third = promote(3)
    assert trail.entries() == [first, second, third]
    assert log.read_bytes() == b"".join(one.line() + b"\n" for one in (first, second, third))
    assert trail.verify() == []


def test_a_shell_is_the_name_given_or_the_user_it_runs_as(log, monkeypatch):
    monkeypatch.setenv("LOGNAME", "otto")  # anyone can set it
    user = pwd.getpwuid(os.getuid()).pw_name
    assert trail.who(" anna ") == Person("anna", f"claimed (shell user {user})")
    assert trail.who() == Person(user, "shell user")


def test_every_name_says_how_it_is_known(log):
    for who in ("airflow", "anna", Person("dr.weber", "Airflow login")):
        trail.record("promoted", model="cxr_binary", version=1, who=who)
    known = [("airflow", "program"), ("anna", "claimed"), ("dr.weber", "Airflow login")]
    assert [(one.who, one.known_by) for one in trail.entries()] == known
    assert trail.verify() == []


def test_a_log_of_the_former_form_is_read_and_goes_on(log):
    """Its lines have no ``known_by``; their digests were taken without it."""
    path = audit_log()
    path.parent.mkdir(parents=True, exist_ok=True)
    former = chain.sealed(
        seq=1, at="2026-11-26T10:00:00.000+00:00", kind="served", model="cxr_binary", version=3, who="airflow", why="",
        fingerprint="", detail={"before": 2}, previous=chain.GENESIS,
    )  # fmt: skip
    assert b"known_by" not in former.line()
    path.write_bytes(former.line() + b"\n")
    anchors.write_local_head(anchors.Head.of(former))
    trail.record("promoted", model="cxr_binary", version=4, who="airflow")
    assert trail.verify() == []
    assert [(one.version, one.known_by) for one in trail.entries()] == [(3, ""), (4, "program")]
