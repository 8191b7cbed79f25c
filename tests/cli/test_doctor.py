"""``cxr doctor`` as typed on an installation without a running stack, and its checks on values."""

from __future__ import annotations

import json

import pytest

from cxr_tasks.cli.doctor.findings import anchor_findings, disk_findings, worst
from cxr_tasks.cli.doctor.serving import alias_findings, file_findings, server_findings
from cxr_tasks.cli.main import main
from cxr_tasks.installation.storage.paths import audit_log, secrets_root, served_root
from cxr_tasks.registry.audit import anchors, trail
from serving.served.state import ServingState, write_state

GIB = 2**30


def run(capsys, *arguments):
    code = main(["doctor", *arguments])
    return code, capsys.readouterr().out


def published(model, version):
    folder = served_root() / model / str(version)
    (folder / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/variables.index"):
        (folder / name).write_bytes(b"x")
    return folder


@pytest.fixture
def installation(cxr_home):
    """Version 3 serves, 2 is kept, one entry is in the log, logins are made; the stack is down."""
    secrets_root().mkdir(parents=True, mode=0o700)
    (secrets_root() / "key").touch(mode=0o600)
    for version in (2, 3):
        published("cxr_binary", version)
    write_state("cxr_binary", ServingState(stable=3, previous=2, handled=3))
    trail.record("served", model="cxr_binary", version=3, who="airflow")


def test_a_whole_installation_has_no_failure(installation, capsys):
    code, shown = run(capsys)
    lines = shown.splitlines()
    assert code == 0
    assert lines[0].startswith("WARN  stack: the stack of ") and lines[1] == "      -> 'make up' starts it"
    assert any(line.endswith("cxr_binary: version 2, 3 whole") for line in lines)
    assert "OK    audit log: 1 entries, the chain is whole" in lines
    assert "0 failed" in lines[-1]


def test_json_holds_the_worst_and_each_finding(installation, capsys):
    code, shown = run(capsys, "--json")
    found = json.loads(shown)
    assert (code, found["worst"]) == (0, "WARN")
    assert {"check", "level", "text", "todo"} == set(found["findings"][0])


def test_a_changed_log_fails_and_is_named(installation, capsys):
    audit_log().write_bytes(audit_log().read_bytes().replace(b'"version":3', b'"version":4'))
    code, shown = run(capsys)
    assert code == 1
    assert "FAIL  audit log: line 1: seq 1 (served of cxr_binary version 4) was changed" in shown
    assert "restore it from a backup" in shown


def test_a_torn_line_is_only_to_know_of(installation, capsys):
    with open(audit_log(), "ab") as stream:
        stream.write(b'{"seq":2')
    code, shown = run(capsys)
    assert code == 0
    assert "WARN  audit log: line 2: torn: 8 bytes" in shown
    trail.record("promoted", model="cxr_binary", version=3, who="anna")
    assert "OK    audit log: 1 unfinished lines of stopped processes are in it" in run(capsys)[1]


def test_a_secret_that_others_may_read_fails_with_the_command(installation, capsys):
    (secrets_root() / "key").chmod(0o640)
    code, shown = run(capsys)
    assert code == 1
    assert f"FAIL  secrets private: {secrets_root() / 'key'}: has mode 0640" in shown
    assert f"-> chmod 600 {secrets_root() / 'key'}" in shown


def test_missing_files_of_what_serves_fail_and_of_the_former_version_warn(cxr_home):
    state = ServingState(stable=3, previous=2)
    (published("cxr_binary", 3) / "saved_model.pb").write_bytes(b"")
    found = file_findings("cxr_binary", state)
    assert [one.level for one in found] == ["WARN", "FAIL"]
    assert found[0].text.endswith("saved_model.pb, variables/variables.index missing or empty")
    assert found[1].text.endswith("/3: saved_model.pb missing or empty")


@pytest.mark.parametrize(
    ("champion", "state", "level", "text"),
    [
        (3, {"stable": 3, "handled": 3}, "OK", "version 3 is champion and serves"),
        (4, {"stable": 3, "handled": 3}, "WARN", "version 4 is champion, version 3 serves: its release is due"),
        (4, {"stable": 3, "handled": 4}, "FAIL", "version 3 serves: its release was refused or failed"),
        (1, {}, "WARN", "version 1 is champion, nothing serves: its release is due"),
        (None, {"stable": 3, "handled": 3}, "FAIL", "version 3 serves, and no version bears the alias champion"),
    ],
)
def test_champion_and_what_serves(champion, state, level, text):
    (found,) = alias_findings("cxr_binary", champion, ServingState(**state))
    assert found.level == level
    assert text in found.text
    assert bool(found.todo) == (level != "OK")


def test_a_family_without_a_model_is_not_mentioned():
    assert alias_findings("cxr_multilabel", None, ServingState()) == []


@pytest.mark.parametrize(
    ("state", "available", "labels", "expected"),
    [
        ({"stable": 3, "canary": 4}, [4, 3], {"stable": 3, "canary": 4}, ["OK"]),
        ({"stable": 3}, [], {}, ["FAIL"]),
        ({"stable": 3}, [3, 2], {"stable": 3}, ["WARN"]),
        ({"stable": 3, "changing": 4}, [3, 4], {"stable": 3}, ["WARN"]),
        ({"stable": 3}, [3], {"stable": None}, ["FAIL"]),
        ({"stable": 3}, [3], {"stable": 3, "canary": 3}, ["FAIL"]),
        ({}, [], {}, []),
    ],
)
def test_what_the_model_server_has_loaded_and_labelled(state, available, labels, expected):
    found = server_findings("cxr_binary", ServingState(**state), available, labels)
    assert [one.level for one in found] == expected


@pytest.mark.parametrize(("free", "level"), [(20 * GIB, "OK"), (3 * GIB, "WARN"), (GIB // 2, "FAIL")])
def test_space_on_the_disk(cxr_home, free, level):
    (found,) = disk_findings(free)
    assert found.level == level
    assert (found.todo == "") == (level == "OK")


def test_anchors_in_mlflow(installation, monkeypatch):
    entries = trail.entries()
    own, other = f"1:{entries[0].digest}", f"1:{'cd' * 32}"
    heads = {"a": own, "b": other, "c": "9:" + "0" * 64, "d": "nonsense"}
    monkeypatch.setattr(anchors, "registry_heads", lambda: heads)
    found = anchor_findings(entries)
    assert [one.level for one in found] == ["OK", "FAIL", "FAIL", "FAIL"]
    assert "b: seq 1 was recorded with digest cdcdcdcdcdcd" in found[1].text
    assert "c: seq 9 had been recorded, the log ends with seq 1" in found[2].text
    # A line that was changed is for the chain to tell of: the log still ends where MLflow says.
    audit_log().write_bytes(audit_log().read_bytes().replace(b'"who":"airflow"', b'"who":"anna"'))
    heads.clear()
    heads["a"] = own
    assert [one.level for one in anchor_findings(trail.stated())] == ["OK"]
    # A record that MLflow did not hear of.
    trail.record("promoted", model="a", version=1, who="anna")
    (found,) = anchor_findings(trail.stated())
    assert (found.level, found.text) == ("WARN", "a: anchored at seq 1; 1 later entries were recorded without MLflow")
    assert worst([found]) == "WARN"


@pytest.mark.mlflow
def test_registry_state_and_server_are_held_against_each_other(installation, monkeypatch):
    from cxr_tasks.cli.doctor.serving import serving_findings
    from cxr_tasks.installation.settings import StackSettings
    from cxr_tasks.registry import tracking, versions
    from serving.check.server_process import free_port

    client = tracking.client()
    client.create_registered_model("cxr_binary")
    for _ in range(3):
        client.create_model_version("cxr_binary", source="runs:/none/model")
    versions.set_alias("cxr_binary", versions.CHAMPION, 3)
    settings = StackSettings.requested({"CXR_REST_PORT": str(free_port())})
    found = [(one.level, one.text) for one in serving_findings(settings, is_up=True)]
    assert ("OK", "cxr_binary: version 3 is champion and serves") in found
    assert ("FAIL", "cxr_binary: version 3 should answer and does not") in found
    (unproven,) = [text for level, text in found if level == "FAIL" and "may not" in text]
    assert unproven.startswith("cxr_binary: version 3 serves and may not: its gate verdict is missing")
    assert not any("cxr_multilabel" in text for _, text in found)


@pytest.mark.mlflow
@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_registry_that_answers_and_knows_no_version_is_told_for_what_it_means(installation, is_deleted):
    from cxr_tasks.cli.doctor.serving import serving_findings
    from cxr_tasks.installation.settings import StackSettings
    from cxr_tasks.registry import tracking
    from serving.check.server_process import free_port

    trail.record("registered", model="cxr_binary", version=3, who="airflow", detail={"mlflow_run_id": "ab"})
    if not is_deleted:
        tracking.client().create_registered_model("cxr_binary")  # and no version of it
    settings = StackSettings.requested({"CXR_REST_PORT": str(free_port())})
    found = [one for one in serving_findings(settings, is_up=True) if one.check == "serving"]
    (told,) = [one for one in found if "MLflow answers but knows no version" in one.text]
    assert told.level == "FAIL"
    assert "the audit log has 1 registered: its database was made anew or is another one" in told.text
    assert "version 3 serves" in told.text
    assert "'cxr restore FILE'" in told.todo
    # What cannot be promoted is not said to be promoted.
    assert not any("cxr promote cxr_binary 3" in one.todo for one in found)
