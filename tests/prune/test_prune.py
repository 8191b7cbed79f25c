"""What goes and, above all, what stays."""

from __future__ import annotations

import functools
import json
import os
import time
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.storage.fetched_folders import place_of
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import RunPaths, home
from cxr_tasks.prune import stage
from cxr_tasks.prune.stage import kept_days, prune
from cxr_tasks.registry import tracking
from cxr_tasks.registry.run_log import RunLog

pytestmark = pytest.mark.mlflow
DAY_S = 86_400


#: The folders of these tests were written in months that lie apart; the clock is right all the same.
prune_now = functools.partial(prune, is_clock_right=True)


def made(path: Path, days: float) -> Path:
    """A file (with its folder) that was last written so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("content")
    then = time.time() - days * DAY_S
    for one in (path, path.parent):
        os.utime(one, (then, then))
    return path


def run_folder(dag_id: str, run_id: str, days: float) -> Path:
    return made(RunPaths.for_run(dag_id, run_id).root / "report.txt", days).parent


def registered_version(dag_run: str) -> str:
    """A version of a model, made by a DAG run; its MLflow run."""
    client = tracking.client()
    tags = {"cxr.dag_id": "cxr_train_binary", "cxr.dag_run_id": dag_run}
    with tracking.open_run("cxr_binary", "made", tags=tags) as log:
        client.create_registered_model("cxr_binary")
        client.create_model_version("cxr_binary", source=str(home()), run_id=log.run_id)
    return log.run_id


def test_old_runs_go_and_those_that_something_needs_stay(cxr_home):
    run_id = registered_version("trained")
    of_version = run_folder("cxr_train_binary", "trained", 400)
    old, young = run_folder("cxr_train_binary", "refused", 400), run_folder("cxr_train_binary", "new", 10)
    of_report = run_folder("cxr_report", "r", 400)
    of_dataset = run_folder("cxr_dataset_binary", "d", 400)
    of_decision = run_folder("cxr_train_binary", "gate", 400)
    (home() / "reports" / "cxr_binary" / "1").mkdir(parents=True)
    (home() / "reports" / "cxr_binary" / "1" / "index.html").write_text(f"<a href='/cxr/runs/{of_report.name}/x'>")
    (home() / "datasets" / "made" / "ab").mkdir(parents=True)
    (home() / "datasets" / "made" / "ab" / "provenance.json").write_text(json.dumps({"from": str(of_dataset / "x")}))
    decision = made(home() / "aside" / "decision.json", 0)
    decision.write_text(json.dumps({"uri": f"/elsewhere/var/runs/{of_decision.name}/gate/decision.json"}))
    RunLog(tracking.client(), run_id).artifact(decision, "gate")

    shown = prune_now({})
    assert [Path(one.name).name for one in shown.found] == [old.name]
    assert shown.n_kept_as_needed == 4 and old.exists()  # shown, and nothing done
    done = prune_now({}, do=True)
    assert done.found == shown.found or [one.name for one in done.found] == [one.name for one in shown.found]
    assert not old.exists()
    assert all(one.exists() for one in (young, of_version, of_report, of_dataset, of_decision))
    assert prune_now({}, do=True).found == ()


def test_a_run_that_is_written_to_in_any_depth_is_young(cxr_home):
    folder = run_folder("cxr_train_binary", "long", 400)
    made(folder / "train" / "checkpoint" / "epoch_7", 1)
    then = time.time() - 400 * DAY_S
    for one in (folder, folder / "train"):
        os.utime(one, (then, then))
    assert prune_now({}, do=True).found == () and folder.exists()


def test_a_run_of_a_request_at_work_stays(cxr_home):
    from cxr_tasks.worklist.request import Wanted
    from cxr_tasks.worklist.store import Worklist

    request, _ = Worklist().add(Wanted(kind="training", key="1", model="cxr_binary"))
    folder = run_folder(request.dag_id, request.run_id, 400)
    assert prune_now({}, do=True).n_kept_as_needed == 1 and folder.exists()


def test_logs_go_by_age_and_what_is_kept_for_people_does_not(cxr_home):
    log = made(home() / "airflow" / "logs" / "dag_id=x" / "run_id=y" / "attempt=1.log", 90)
    new = made(home() / "airflow" / "logs" / "dag_id=x" / "run_id=z" / "attempt=1.log", 10)
    kept = [
        made(home() / place, 5000)
        for place in (
            "datasets/a/b/x.tfrecord", "exports/cxr_binary/1/x", "reports/cxr_binary/1/index.html", "audit/log.jsonl",
            "predictions/cxr_binary/2020-01-01/x.parquet", "feedback/cxr_binary/x.parquet", "secrets/patient_key",
            "served/cxr_binary/1/x", "monitor/cxr_binary/x/state.json",
        )
    ]  # fmt: skip
    assert [one.name for one in prune_now({}, do=True).found] == [log.relative_to(home()).as_posix()]
    assert not log.parent.exists() and new.exists() and all(one.exists() for one in kept)


def test_days_of_lineage_events_go_and_what_is_not_sent_yet_stays(cxr_home):
    lineage = home() / "lineage"
    old, new = (
        made(lineage / "events" / "2025-01-01" / "a.json", 400),
        made(lineage / "events" / "2026-11-01" / "b.json", 20),
    )
    waiting = made(lineage / "waiting" / "2025-01-01-a.json", 400)
    gone = prune_now({}, do=True).found
    assert [(one.kind, one.name) for one in gone] == [("lineage", "lineage/events/2025-01-01")]
    assert not old.parent.exists() and new.exists() and waiting.exists()


def test_mlflow_runs_without_a_version_go_to_the_trash_and_parents_of_versions_stay(cxr_home):
    run_id, client = registered_version("trained"), tracking.client()
    with tracking.open_run("cxr_binary", "search") as parent, tracking.open_run("cxr_binary", "lost") as lost:
        RunLog(client, run_id).tags({"mlflow.parentRunId": parent.run_id})
    in_two_years = time.time() + 2 * 365 * DAY_S
    assert [one.name for one in prune_now({}, now_s=in_two_years).found] == [lost.run_id]
    prune_now({}, do=True, now_s=in_two_years)
    stages = {one: client.get_run(one).info.lifecycle_stage for one in (run_id, parent.run_id, lost.run_id)}
    assert stages == {run_id: "active", parent.run_id: "active", lost.run_id: "deleted"}


def fetched(address: str, days: float) -> Path:
    """A data folder as it is after an ingest so many days ago; the store's objects are from long before."""
    folder = place_of(address)
    made(folder / "NORMAL" / "1.jpeg", 5000)
    made(folder.with_suffix(".json"), days)
    folder.with_suffix(".lock").touch()
    return folder


def test_fetched_data_goes_when_no_ingest_asked_for_it_for_long(cxr_home):
    old, new = fetched("s3://x/old", 91), fetched("s3://x/new", 89)
    half = place_of("s3://x/half")  # the store went away, and nobody came back
    made(half / "1.jpeg", 91)
    shown = prune({})
    assert sorted(one.name for one in shown.found) == sorted(f"fetched/{one.name}" for one in (old, half))
    assert {one.n_bytes > 0 for one in shown.found} == {True} and old.exists()
    prune({}, do=True)
    assert not old.exists() and not old.with_suffix(".json").exists() and not half.exists()
    assert (new / "NORMAL" / "1.jpeg").exists() and new.with_suffix(".json").exists()


@pytest.mark.parametrize(
    ("data_folder", "stay"),
    [
        ("s3://x/set/", {"set"}),  # the form names it
        (None, {"ours", "theirs"}),  # it is that of the settings
        ("/mnt/data", set()),
    ],
)
def test_fetched_data_that_a_request_will_read_stays(cxr_home, data_folder, stay):
    from cxr_tasks.worklist.request import Wanted
    from cxr_tasks.worklist.store import Worklist

    conf = {"recipe": "kermany_cnn", "data_folder": data_folder}
    Worklist().add(Wanted(kind="dataset", key="1", model="cxr_binary", conf=conf))
    folders = {name: fetched(f"s3://x/{name}", 400) for name in ("set", "ours", "theirs", "nobodys")}
    prune({"CXR_KERMANY_ROOT": "s3://x/ours", "CXR_NIH_ROOT": "s3://x/theirs", "CXR_HOME": "s3://"}, do=True)
    assert {name for name, one in folders.items() if one.exists()} == stay


def test_fetched_data_that_is_asked_for_meanwhile_stays(cxr_home, monkeypatch, caplog):
    asked, at_work = fetched("s3://x/a", 400), fetched("s3://x/b", 400)
    monkeypatch.setattr("cxr_tasks.prune.stage._old_mlflow_runs", lambda *_: made(asked.with_suffix(".json"), 0) and [])
    with file_lock(at_work.with_suffix(".lock"), what="s3://x/b", purpose="fetching a data folder"):
        outcome = prune({}, do=True)
    assert (len(outcome.found), outcome.n_not_removed) == (2, 2) and asked.exists() and at_work.exists()
    assert "was asked for since" in caplog.text and "fetching a data folder" in caplog.text


def test_a_link_in_the_folder_of_runs_is_left_alone(cxr_home, tmp_path):
    outside = made(tmp_path / "outside" / "file", 400)
    (home() / "runs").mkdir(parents=True, exist_ok=True)
    (home() / "runs" / "link").symlink_to(outside.parent)
    assert prune_now({}, do=True).found == () and outside.exists()


def test_without_a_registry_nothing_is_known_and_nothing_goes(cxr_home, monkeypatch):
    old = run_folder("cxr_train_binary", "refused", 400)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ServiceUnavailable):
        prune_now({}, do=True)
    assert old.exists()


@pytest.mark.parametrize("text", ["0", "-3", "a year"])
def test_a_setting_that_means_nothing_is_refused(text):
    with pytest.raises(ConfigurationError, match="CXR_KEEP_RUNS_DAYS"):
        kept_days({"CXR_KEEP_RUNS_DAYS": text})


def meanwhile(monkeypatch, place: Path, happens) -> None:
    """``happens`` once, when prune first looks at ``place``."""
    lstat, told = Path.lstat, []

    def looked_at(self):
        if self == place and not told:
            told.append(self)
            happens()
        return lstat(self)

    monkeypatch.setattr(Path, "lstat", looked_at)


def test_a_run_that_is_at_work_may_lose_a_file_while_it_is_looked_at(cxr_home, monkeypatch):
    old = run_folder("cxr_train_binary", "refused", 400)
    at_work = made(run_folder("cxr_train_binary", "cleared", 400) / "model.keras.tmp", 400)
    meanwhile(monkeypatch, at_work, at_work.unlink)
    assert [Path(one.name).name for one in prune_now({}, do=True).found] == [old.name]
    assert not old.exists() and at_work.parent.exists()


def test_a_run_that_goes_on_after_it_was_found_to_be_old_stays(cxr_home, monkeypatch, caplog):
    cleared = run_folder("cxr_train_binary", "cleared", 400)
    monkeypatch.setattr(
        "cxr_tasks.prune.stage.needed_mlflow_runs", lambda: (cleared / "epoch_8").write_text("") or set()
    )
    outcome = prune_now({}, do=True)
    assert (len(outcome.found), outcome.n_not_removed) == (1, 1) and cleared.exists()
    assert "was written to since" in caplog.text


def test_what_cannot_be_removed_stops_nothing_else(cxr_home, monkeypatch, caplog):
    first, second = (run_folder("cxr_train_binary", name, 400) for name in ("a", "b"))
    remove = stage.remove_tree

    def denied(folder):
        if folder == first:
            raise PermissionError(13, "Permission denied", str(folder))
        remove(folder)

    monkeypatch.setattr(stage, "remove_tree", denied)  # another user's, which tests run as root do not meet
    outcome = prune_now({}, do=True)
    assert (len(outcome.found), outcome.n_not_removed) == (2, 1)
    assert first.exists() and not second.exists() and "Permission denied" in caplog.text


def test_a_clock_that_is_far_ahead_removes_nothing_until_a_person_says_that_it_is_right(cxr_home):
    """A dead battery, a machine out of a snapshot: a decade passes in a night, and all is old on Sunday."""
    folders = [run_folder("cxr_train_binary", f"refused {days}", days) for days in (0, 2, 40, 90)]
    ahead = time.time() + 3650 * DAY_S
    later = [made(home() / "airflow" / "logs" / f"{n}.log", -(3648 + n)) for n in range(2)]  # of two days since
    outcome = prune({}, do=True, now_s=ahead)
    assert not outcome.is_done and len(outcome.found) == 4 and all(one.exists() for one in folders)
    assert "may be far ahead" in outcome.doubt and "--clock-is-right" in outcome.doubt
    assert "may be far ahead" in prune({}, now_s=ahead).doubt  # and it is shown before
    assert prune({}, do=True, now_s=ahead, is_clock_right=True).is_done and not any(one.exists() for one in folders)
    assert all(one.exists() for one in later)


def test_a_platform_at_work_is_pruned_without_a_question(cxr_home):
    folders = [run_folder("cxr_train_binary", f"refused {days}", days) for days in range(0, 240, 40)]
    outcome = prune({}, do=True)
    assert outcome.is_done and not outcome.doubt and [one.exists() for one in folders] == [True] * 5 + [False]
