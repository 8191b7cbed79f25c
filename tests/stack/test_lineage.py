"""OpenLineage events: what the standard's own classes take, and an address that is slow, away or refuses."""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.installation.logins import ensure_logins
from cxr_tasks.stack.lineage import outbox, send
from cxr_tasks.stack.lineage.events import MOST_DATASETS, Dataset, TaskOfRun, datasets_in, task_event
from tests.waiting import wait_until

TASK = TaskOfRun("cxr_train_binary", "manual__2026-11-30T08:00:00+00:00", "train", 1, 2)


def prepared(home: Path) -> dict:
    return PreparedDataset(
        dataset="kermany", folder=str(home / "datasets"), fingerprint="f" * 64, vocabulary="pneumonia", size_px=64,
        index=ArtifactRef(str(home / "datasets" / "kermany" / "index.parquet"), "a" * 64), n_train=1, n_validation=1,
        n_test=1,
    ).to_payload()  # fmt: skip


def test_datasets_are_named_by_what_they_are_and_versions_by_digest(cxr_home: Path):
    read = [prepared(cxr_home), {"recipe": "x"}]
    wrote = [{"model_name": "cxr_binary", "version": 3, "model": {"uri": "/other/model.keras", "sha256": "b" * 64}}]
    assert list(datasets_in(read)) == [
        Dataset("cxr.datasets", "kermany", "f" * 64),
        Dataset("cxr.files", "datasets/kermany/index.parquet", "a" * 64),
    ]
    assert list(datasets_in(wrote)) == [
        Dataset("cxr.models", "cxr_binary", "3"),
        Dataset("cxr.files", "model.keras", "b" * 64),
    ]
    assert not list(datasets_in({"uri": "x", "sha256": "short", "dataset": "d", "fingerprint": None, "version": "3"}))


def test_events_of_one_try_have_one_run_and_another_try_has_another(cxr_home: Path):
    start, end = task_event("START", TASK), task_event("COMPLETE", TASK, wrote=prepared(cxr_home))
    assert start["run"]["runId"] == end["run"]["runId"]
    again = TaskOfRun(TASK.dag_id, TASK.run_id, TASK.task_id, 2, 2)
    assert task_event("START", again)["run"]["runId"] != start["run"]["runId"]
    assert again.parent_uuid == TASK.parent_uuid
    passed_on = task_event("COMPLETE", TASK, read=prepared(cxr_home), wrote=prepared(cxr_home))
    assert not passed_on["inputs"] and len(passed_on["outputs"]) == 2
    many = [{"uri": f"/x/{number}", "sha256": f"{number:064x}"} for number in range(500)]
    assert len(task_event("COMPLETE", TASK, wrote=many)["outputs"]) == MOST_DATASETS


@pytest.mark.skipif(importlib.util.find_spec("openlineage") is None, reason="needs openlineage-python (make CLUSTER=1)")
def test_the_standard_s_own_classes_say_the_same(cxr_home: Path):
    from openlineage.client import event_v2, set_producer
    from openlineage.client.facet_v2 import dataset_version_dataset, error_message_run, job_type_job, parent_run
    from openlineage.client.serde import Serde

    set_producer("urn:cxr-platform")
    ours = task_event("FAIL", TASK, read=prepared(cxr_home), error="DataDefect")
    theirs = event_v2.RunEvent(
        eventType=event_v2.RunState.FAIL,
        eventTime=ours["eventTime"],
        run=event_v2.Run(
            runId=TASK.uuid,
            facets={
                "parent": parent_run.ParentRunFacet(
                    run=parent_run.Run(runId=TASK.parent_uuid), job=parent_run.Job("cxr", "cxr_train_binary")
                ),
                "errorMessage": error_message_run.ErrorMessageRunFacet("DataDefect", "python"),
            },
        ),
        job=event_v2.Job(
            "cxr",
            "cxr_train_binary.train",
            facets={"jobType": job_type_job.JobTypeJobFacet("BATCH", "AIRFLOW", "TASK")},
        ),
        inputs=[
            event_v2.InputDataset(
                one.namespace,
                one.name,
                facets={"version": dataset_version_dataset.DatasetVersionDatasetFacet(one.version)},
            )
            for one in datasets_in(prepared(cxr_home))
        ],
        outputs=[],
        producer="urn:cxr-platform",
    )

    def told(value):
        """In one order, without empty facets and schemas' addresses, whose versions move with the library."""
        if isinstance(value, dict):
            left_out = ("_schemaURL", "schemaURL", "inputFacets", "outputFacets")
            return {
                key: told(one) for key, one in sorted(value.items()) if key not in left_out and one not in (None, {})
            }
        return sorted(map(told, value), key=str) if isinstance(value, list) else value

    assert told(ours) == told(json.loads(Serde.to_json(theirs)))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"CXR_DATABASE": "postgres"}, True),
        ({"CXR_DATABASE": "postgres", "CXR_LINEAGE": "off"}, False),
        ({"CXR_LINEAGE": "on"}, True),
        ({"CXR_OPENLINEAGE_URL": "http://127.0.0.1/x"}, True),
    ],
)
def test_on_where_several_machines_work_and_off_on_one(environment, expected):
    assert outbox.is_on(environment) is expected


def test_what_cannot_be_is_named_when_the_stack_starts():
    with pytest.raises(ConfigurationError, match="CXR_LINEAGE=yes: expected on or off"):
        outbox.check_lineage({"CXR_LINEAGE": "yes"})
    with pytest.raises(ConfigurationError, match="without a login in it") as told:
        outbox.check_lineage({"CXR_OPENLINEAGE_URL": "https://user:secret@host/"})
    assert "secret@" not in str(told.value)


class Receiver:
    """Takes events, each answered as ``status`` says, after ``seconds``."""

    def __init__(self, port: int = 0):
        self.status, self.seconds, self.got, self.keys = 201, 0.0, [], set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(outer.seconds)
                status = outer.status if callable(outer.status) else (lambda _: outer.status)
                code = status(json.loads(body))
                if code == 201:
                    outer.got.append(json.loads(body)["n"])
                    outer.keys.add(self.headers["Authorization"])
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api/v1/lineage"


@pytest.fixture
def receiver(cxr_home: Path, monkeypatch) -> Iterator[Receiver]:
    found = Receiver()
    monkeypatch.setenv("CXR_OPENLINEAGE_URL", found.url)
    yield found
    found.server.shutdown()
    found.server.server_close()


def waiting() -> list[str]:
    return sorted(path.name for path in (outbox.lineage_root() / "waiting").glob("*.json"))


def test_an_event_reaches_the_address_by_itself_and_stays_as_a_file(receiver: Receiver, cxr_home: Path):
    ensure_logins(cxr_home / "secrets")
    (cxr_home / "secrets" / send.KEY_FILE).write_text("a-key\n")
    outbox.tell({"n": 1})
    wait_until(lambda: receiver.got == [1] and not waiting())
    assert receiver.keys == {"Bearer a-key"}
    (kept,) = (outbox.lineage_root() / "events").rglob("*.json")
    assert json.loads(kept.read_text()) == {"n": 1}
    assert not [one for one in outbox.lineage_root().rglob("*.json") if one.stat().st_mode & 0o077]


def test_a_task_waits_for_nobody_and_what_was_not_sent_is_sent_in_order(receiver: Receiver, monkeypatch):
    started = []
    monkeypatch.setattr(outbox, "_start_sender", lambda: started.append(1))
    receiver.status = 503
    for number in range(3):
        outbox.tell({"n": number})
    assert len(started) == 3 and send.main() == 1
    assert len(waiting()) == 3 and receiver.got == []
    receiver.status = 201
    outbox.tell({"n": 3})
    assert send.main() == 0
    assert receiver.got == [0, 1, 2, 3] and waiting() == []


def test_an_event_that_is_refused_for_good_does_not_hold_up_the_others(receiver: Receiver, monkeypatch):
    monkeypatch.setattr(outbox, "_start_sender", lambda: None)
    receiver.status = lambda event: 422 if event["n"] == 0 else 201
    for number in range(2):
        outbox.tell({"n": number})
    assert send.main() == 0
    assert receiver.got == [1] and waiting() == []
    assert len(list((outbox.lineage_root() / "refused").glob("*.json"))) == 1


def test_one_sender_at_a_time_and_the_oldest_of_too_many_go(receiver: Receiver, monkeypatch):
    monkeypatch.setattr(outbox, "_start_sender", lambda: None)
    monkeypatch.setattr(send, "MOST_WAITING", 2)
    for number in range(4):
        outbox.tell({"n": number})
    from cxr_tasks.installation.storage.locks import file_lock

    with file_lock(outbox.lineage_root() / "lock", what="lineage", purpose="a test"):
        assert send.main() == 1 and receiver.got == []
    assert send.main() == 0
    assert receiver.got == [2, 3]
