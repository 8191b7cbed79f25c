"""What lies under the numbers on disk; and an installation of the former form, whose files say less, goes on."""

from __future__ import annotations

import json

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.registry.audit import trail
from serving.export import exports
from serving.served.contents import changed_files, require_unchanged, runs_of
from serving.served.leftovers import settle
from serving.served.state import UNKNOWN_RUN, Content, ServingState, read_state, write_state
from serving.served.version_folders import version_folder

MODEL = "cxr_binary"
#: As written before contents and runs were kept.
FORMER_STATE = {"stable": 3, "previous": 2, "canary": None, "changing": None, "handled": 3}


def publish(version: int, graph: str) -> None:
    folder = version_folder(MODEL, version)
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(graph)
    (folder / "variables" / "variables.index").write_text("index")


def keep_export(version: int, run: str, graph: str) -> RegisteredModel:
    """An export whose record is of the former form."""
    registered = RegisteredModel(model_name=MODEL, version=version, mlflow_run_id=run, alias="")
    with exports.kept_export(registered) as folder:
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_text(graph)
        (folder / "variables" / "variables.index").write_text("index")
    path = exports.export_folder(MODEL, version) / "export.json"
    record = json.loads(path.read_text())
    del record["model_sha256"]
    path.write_text(json.dumps(record))
    return registered


def registered(version: int, run: str) -> None:
    trail.record("registered", model=MODEL, version=version, who="airflow", detail={"mlflow_run_id": run})


@pytest.fixture
def former(cxr_home):
    """Version 3 serves and its export is kept; 2 was served before, and the log knows its run."""
    publish(2, "two")
    publish(3, "three")
    kept = keep_export(3, "run3", "three")
    registered(2, "run2")
    registered(3, "run3")
    (cxr_home / "served" / MODEL / "state.json").write_text(json.dumps(FORMER_STATE))
    return kept


def test_files_of_the_former_form_are_read_and_completed(former):
    assert read_state(MODEL) == ServingState(stable=3, previous=2, handled=3)
    export = exports.find_export(former)
    assert export is not None and export.record.model_sha256 == ""
    state = settle(MODEL)
    assert state == read_state(MODEL)
    assert (state.stable, state.previous, state.handled, state.handled_run) == (3, 2, 3, "run3")
    assert [state.content_of(one).mlflow_run_id for one in (2, 3)] == ["run2", "run3"]
    assert not state.is_due(3, "run3")
    assert state.is_due(3, "run of a registry made anew")


def test_without_export_and_log_the_number_decides_as_before(former):
    import shutil

    from cxr_tasks.installation.storage.paths import audit_log

    shutil.rmtree(exports.export_folder(MODEL, 3))
    shutil.rmtree(audit_log().parent)
    state = settle(MODEL)
    assert (state.handled_run, state.content_of(3).mlflow_run_id) == ("", "")
    assert not state.is_due(3, "any run")
    assert state.is_due(4, "any run")


def test_a_number_that_came_again_before_contents_were_kept_is_due(former):
    """Its export was made anew and is not what serves: found in the real chain."""
    registered(3, "run9")
    keep_export(3, "run9", "another three")
    assert runs_of(MODEL, 3) == ["run3", "run9"]
    state = settle(MODEL)
    assert (state.handled_run, state.content_of(3).mlflow_run_id) == (UNKNOWN_RUN, "")
    assert state.is_due(3, "run9")


def test_changed_files_are_named_and_unknown_ones_are_not_held_to_anything(former):
    state = settle(MODEL)
    content = state.content_of(3)
    assert changed_files(MODEL, 3, content) == ""
    (version_folder(MODEL, 3) / "saved_model.pb").write_text("thref")
    assert "expected the files that were published" in changed_files(MODEL, 3, content)
    with pytest.raises(DataDefect, match="release the version again"):
        require_unchanged(MODEL, 3, content)
    assert changed_files(MODEL, 3, Content()) == ""


def test_what_is_not_kept_is_forgotten(cxr_home):
    content = Content(mlflow_run_id="r", export_sha256="ab")
    write_state(MODEL, ServingState(stable=3).with_content(3, content).with_content(2, content))
    assert read_state(MODEL).contents == {"3": content}
