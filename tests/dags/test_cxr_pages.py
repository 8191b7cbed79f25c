"""The pages in Airflow's UI, as its API server serves them: who is logged in, what is sent, what stands above them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cxr_tasks.installation.storage.paths import monitor_root, reports_root
from cxr_tasks.worklist.request import Wanted
from cxr_tasks.worklist.store import Worklist, worklist_path
from tests.dags.test_dags import DAGS

pytestmark = pytest.mark.airflow_db

#: In a process of its own, as importing Airflow makes a folder and a configuration.
_PROBE = """
import json, sys
sys.path.insert(0, sys.argv[1] + "/plugins")
from fastapi.testclient import TestClient
import cxr_pages
heavy = [name for name in ("tensorflow", "matplotlib", "pandas", "mlflow") if name in sys.modules]
cxr_pages.app.dependency_overrides[cxr_pages.get_user] = lambda: object()
client = TestClient(cxr_pages.app)
answers = []
for path in sys.argv[2:]:
    answer = client.get(path, follow_redirects=False)
    answers.append({"status": answer.status_code, "headers": dict(answer.headers), "text": answer.text})
views = [(one["name"], one["href"]) for one in cxr_pages.ChestXrayPages.external_views]
print("RESULT" + json.dumps({"answers": answers, "heavy": heavy, "views": views}))
"""


@pytest.fixture
def asked(cxr_home, tmp_path):
    """``asked(path, ...)``: what the pages answer a person who is logged in."""

    def ask(*paths: str) -> dict:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, str(DAGS), *paths],
            capture_output=True,
            text=True,
            check=False,
            env={
                "PATH": "/usr/bin:/bin",
                "AIRFLOW_HOME": str(tmp_path / "airflow"),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
                "CXR_HOME": str(cxr_home),
                "HOME": str(tmp_path),
            },
            cwd=DAGS.parent,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.split("RESULT")[-1])

    return ask


def write_page(model: str, version: int, text: str) -> None:
    folder = reports_root() / model / str(version)
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(text, encoding="utf-8")


def test_requests_are_a_page_of_the_menu_in_the_sandbox_of_all_pages(asked):
    made, _ = Worklist().add(Wanted(kind="dataset", key="1", model="cxr_binary", source="<script>alert(1)</script>"))
    write_page("cxr_binary", 3, "<html><body>report</body></html>")
    found = asked("/requests", "/requests?shown=failed", "/requests?shown=x", "/reports/cxr_binary/3/index.html")
    every, failed, _, report = found["answers"]
    assert [one["status"] for one in found["answers"]] == [200, 200, 422, 200]
    assert every["headers"]["content-type"].startswith("text/html")
    for name in ("content-security-policy", "x-content-type-options", "referrer-policy", "cache-control"):
        assert every["headers"][name] == report["headers"][name]
    assert "allow-scripts" not in every["headers"]["content-security-policy"]
    assert f'id="request-{made.number}"' in every["text"]
    assert "<script>" not in every["text"]
    assert "No request is failed" in failed["text"]
    assert ["Requests", "/cxr/requests"] in found["views"]
    # The API server keeps what the pages import for as long as it runs.
    assert found["heavy"] == []


def test_looks_at_served_models_are_pages_in_the_same_sandbox_and_nothing_else_of_the_folder_is(asked):
    folder = monitor_root() / "cxr_binary" / "3-abababab" / "2026-11-29"
    folder.mkdir(parents=True)
    for place in (folder, folder.parent, monitor_root()):
        (place / "index.html").write_text(f"page of {place.name}")
    (folder / "drift.json").write_text("{}")
    (folder.parent / "state.json").write_text("{}")
    of_version = "/monitor/cxr_binary/3-abababab"
    found = asked(
        "/monitor/index.html", f"{of_version}/index.html", f"{of_version}/2026-11-29/index.html",
        f"{of_version}/2026-11-29/drift.json", f"{of_version}/state.json", "/monitor/../secrets/x/y/index.html",
    )  # fmt: skip
    assert [one["status"] for one in found["answers"]] == [200, 200, 200, 200, 404, 404]
    texts = [one["text"] for one in found["answers"][:3]]
    assert texts == ["page of monitor", "page of 3-abababab", "page of 2026-11-29"]
    assert all("script-src 'none'" in one["headers"]["content-security-policy"] for one in found["answers"][:4])
    assert ["Monitoring", "/cxr/monitor/index.html"] in found["views"]


def test_a_list_that_cannot_be_read_is_told_and_no_stack_trace(asked):
    worklist_path().parent.mkdir(parents=True)
    worklist_path().write_text("no database, for sure")
    (answer,) = asked("/requests")["answers"]
    assert answer["status"] == 503
    assert "expected the list of requests" in answer["text"]


@pytest.mark.mlflow
def test_a_registry_that_disagrees_is_told_above_the_pages_of_its_model_only(asked):
    from cxr_tasks.registry import tracking, versions
    from serving.served.state import Content, ServingState, locked, write_state

    client = tracking.client()
    for model in ("cxr_binary", "cxr_multilabel"):
        client.create_registered_model(model)
        with tracking.open_run(model, "made") as log:
            client.create_model_version(model, source=str(reports_root()), run_id=log.run_id)
        versions.set_alias(model, "champion", 1)
        content = Content(mlflow_run_id=log.run_id, export_sha256="ab" * 32)
        with locked(model):
            write_state(model, ServingState(stable=1, handled=1, handled_run=log.run_id, contents={"1": content}))
        write_page(model, 1, f"<html><body class='x'><h1>{model}</h1></body></html>")
    (reports_root() / "index.html").write_text("<html><body><h1>all</h1></body></html>")
    paths = [f"/reports/{model}/1/index.html" for model in ("cxr_binary", "cxr_multilabel")] + ["/reports"]
    assert [one["text"].count('role="alert"') for one in asked(*paths)["answers"]] == [0, 0, 0]
    client.delete_registered_model("cxr_binary")
    binary, multilabel, index = asked(*paths)["answers"]
    assert multilabel["text"].count('role="alert"') == 0
    for page in (binary, index):
        assert "version 1 serves (run" in page["text"]
        assert "and the registry has no such version" in page["text"]
        assert page["headers"]["content-security-policy"] == multilabel["headers"]["content-security-policy"]
        # Above all else that the page says, and inside its body.
        assert page["text"].index("<body") < page["text"].index('role="alert"') < page["text"].index("<h1>")
