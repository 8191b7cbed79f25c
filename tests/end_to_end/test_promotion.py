"""A person decides which version serves: in the Airflow UI, from a shell, in the MLflow UI. Each ends in a release.

The tests build on each other in their order: version 1 serves when they begin. Version 2 is the same model registered
once more, which costs no training.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cxr_tasks.cli.following.approval import WAITING, instance_of, question_page
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.registry import versions
from cxr_tasks.registry.audit import trail
from serving.client.running import served_versions
from serving.served.state import read_state
from tests.end_to_end.conftest import PATIENCE_MS
from tests.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.timeout(2400)]

MODEL = "cxr_binary"
COPIED_TAGS = ("gate.", "data.", "recipe.", "model.", "test_auroc")


@pytest.fixture(scope="module")
def second(released) -> int:
    """Version 2, registered from the run of version 1 with its decision."""
    made = _copy_of_first()
    decision = versions.version_tags(MODEL, made)["gate.decision_sha256"]
    told = {"decision_sha256": decision, "verdict": "PASS"}
    trail.record("registered", model=MODEL, version=made, who="end-to-end test", detail=told)
    return made


def _copy_of_first() -> int:
    from cxr_tasks.registry import tracking

    first = versions.find_version(MODEL, 1)
    tags = {key: value for key, value in first.tags.items() if key.startswith(COPIED_TAGS)}
    made = tracking.client().create_model_version(
        MODEL, source=first.source, run_id=first.run_id, model_id=first.source.removeprefix("models:/"), tags=tags
    )
    return int(made.version)


def test_a_person_sees_the_evidence_and_rejects(page, stack, api, second):
    run, question = _asked(api, second)
    page.goto(question_page(stack.airflow_url, question))
    page.get_by_text(f"Shall {MODEL} version {second} serve?").first.wait_for()
    assert page.get_by_role("row").filter(has_text="AUROC on test is").count() == 1
    assert page.get_by_text("Champion today: version 1").count() == 1
    report = page.get_by_role("link", name="Report with curves")
    assert report.get_attribute("href") == f"/cxr/reports/{MODEL}/{second}/index.html"
    assert page.request.get(f"{stack.airflow_url}{report.get_attribute('href')}").status == 200
    page.locator("input[name=element_reason]").fill("misses effusions in children")
    page.get_by_role("button", name="Reject").click()
    wait_until(lambda: api.run(run.dag_id, run.run_id).state in {"success", "failed"}, tell=lambda: api.tasks(run))
    assert api.run(run.dag_id, run.run_id).state == "success"
    tags = versions.version_tags(MODEL, second)
    assert (tags["approval.rejected_by"], tags["approval.reason"]) == ("admin", "misses effusions in children")
    assert _champion() == read_state(MODEL).stable == 1
    assert page.problems == []


def test_an_approved_version_serves(page, stack, api, second):
    run, _ = _asked(api, second)
    page.goto(f"{stack.airflow_url}/required_actions")
    waiting = page.get_by_role("row").filter(has_text="Approval Required")
    this_one = page.locator(f'a[href*="{run.run_id}"]')  # others may be waiting
    waiting.get_by_role("link", name=f"Shall {MODEL} version {second} serve?").and_(this_one).click()
    page.locator("input[name=element_reason]").fill("compared with version 1 by hand")
    page.get_by_role("button", name="Approve").click()
    seconds = _seconds_until_served(stack, second)
    print(f"served {seconds:.0f} s after the approval")
    told = [(one.kind, one.who, one.why) for one in trail.entries(MODEL) if one.version == second]
    assert ("approved", "admin", "compared with version 1 by hand") in told
    assert ("promoted", "admin", "compared with version 1 by hand") in told
    assert api.run(run.dag_id, run.run_id).state == "success"
    assert page.problems == []


def test_cxr_promote_serves_the_version_it_is_given(stack, second):
    done = _cxr("promote", MODEL, "1", "--reason", "version 2 was a trial", "--by", "A. Okafor", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["model"], facts["version"], facts["by"]) == (MODEL, 1, "A. Okafor")
    print(f"served {facts['seconds']} s after cxr promote")
    assert _champion() == read_state(MODEL).stable == 1
    promoted = [one for one in trail.entries(MODEL) if one.kind == "promoted"][-1]
    assert (promoted.version, promoted.who, promoted.why) == (1, "A. Okafor", "version 2 was a trial")


def test_cxr_promote_refuses_what_may_not_serve_and_says_how_to_override(stack, second):
    unknown = _copy_of_first()  # its tags say PASS, and the audit log knows nothing of it
    done = _cxr("promote", MODEL, str(unknown), "--reason", "it says PASS")
    assert done.returncode == 1
    assert f"version {unknown} may not serve" in done.stderr
    assert f"cxr override {MODEL} {unknown}" in done.stderr
    assert _champion() == 1


def test_an_alias_moved_in_the_mlflow_ui_is_served(browser, stack, second):
    login = stack.mlflow_login()
    context = browser.new_context(http_credentials={"username": login.username, "password": login.password})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{stack.mlflow_url}/#/models/{MODEL}/versions/{second}")
    page.get_by_text("Aliases").first.wait_for()
    page.get_by_role("button", name="Add", exact=True).first.click()  # of the aliases; tags follow
    dialog = page.get_by_role("dialog")
    box = dialog.get_by_role("combobox")
    box.fill("champion")
    box.press("Enter")
    dialog.get_by_role("button", name="Save aliases").click()
    wait_until(lambda: _champion() == second)
    seconds = _seconds_until_served(stack, second)
    print(f"served {seconds:.0f} s after the alias was moved in the MLflow UI")
    context.close()


def _cxr(*arguments: str) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).parent / "cxr"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=PROJECT_ROOT, check=False)


def _asked(api, version: int):
    """A run of cxr_promote about a version, and the task of it that waits for a person."""
    run = api.trigger("cxr_promote", {"model": MODEL, "version": version})
    found = []

    def is_waiting() -> bool:
        tasks = api.tasks(run)
        failed = [one for one in tasks if one.state == "failed"]
        assert not failed, api.error_of(failed[0])
        question = instance_of(api, tasks, "approve", MODEL)
        found[:] = [question] if question is not None and question.state == WAITING else []
        return bool(found)

    wait_until(is_waiting, f"a question about version {version}", tell=lambda: api.tasks(run), pause_s=0.5)
    return run, found[0]


def _seconds_until_served(stack, version: int) -> float:
    began = time.monotonic()
    wait_until(lambda: read_state(MODEL).stable == version and version in served_versions(stack, MODEL))
    return time.monotonic() - began


def _champion() -> int:
    return int(versions.version_with_alias(MODEL, versions.CHAMPION).version)
