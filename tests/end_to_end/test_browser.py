"""What a person does in a browser: log in, trigger a DAG through its form, open the report. Headless Chromium."""

from __future__ import annotations

import csv
import io
from urllib.parse import quote

import pytest

from cxr_tasks.contracts.records import QUARANTINE_COLUMNS
from cxr_tasks.worklist.airflow_api import TaskRun
from tests.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.timeout(2400)]


def test_a_dag_is_triggered_through_its_form(page, stack, api, released):
    page.goto(f"{stack.airflow_url}/dags/cxr_dataset_binary")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.get_by_text("Data folder").wait_for()
    assert form.get_by_text("synthetic_binary").count() == 1
    # What follows the dataset would train for longer than this test wants to wait.
    form.locator("input[name=element_epochs]").fill("1")
    form.locator("input[name=element_gate_floor]").fill("0.999")
    form.get_by_role("button", name="Trigger").last.click()
    run = _newest_manual_run(api, after=released)
    assert run["conf"]["epochs"] == 1
    assert run["conf"]["gate_floor"] == 0.999
    assert run["conf"]["recipe"] == "synthetic_binary"
    _wait_for_state(api, run, "success")
    assert page.problems == []


def test_the_report_is_one_click_from_its_task(page, stack, api, released):
    runs = api.calls.call("GET", "/dags/cxr_report/dagRuns?limit=10&order_by=-run_after&state=success")["dag_runs"]
    run = runs[0]  # that of the release
    page.goto(f"{stack.airflow_url}/dags/cxr_report/runs/{run['dag_run_id']}/tasks/report/mapped/0/details")
    page.get_by_role("link", name="Report", exact=True).click()
    page.wait_for_url("**/cxr/reports/cxr_binary/1/index.html")
    page.wait_for_load_state()
    assert page.get_by_role("heading", level=1).count() == 1
    assert f"{released['test_auroc']:.3f}" in page.inner_text("body")
    assert page.locator("img").count() > 4
    broken = page.eval_on_selector_all("img", "found => found.filter(one => one.naturalWidth === 0).length")
    assert broken == 0
    assert page.problems == []


@pytest.fixture(scope="module")
def dataset_run(api, released):
    """Id of the dataset run that the released model was trained on."""
    (run,) = api.calls.call("GET", "/dags/cxr_dataset_binary/dagRuns?limit=1&order_by=run_after")["dag_runs"]
    return run["dag_run_id"]


def _open_task(page, stack, run_id, task_id):
    page.goto(f"{stack.airflow_url}/dags/cxr_dataset_binary/runs/{quote(run_id, safe='')}/tasks/{task_id}/details")


@pytest.mark.parametrize(
    ("task_id", "folder", "suite"),
    [("validate", "validate", "manifest_pneumonia"), ("verify", "validate_prepared", "prepared_examples")],
)
def test_data_docs_are_one_click_from_their_task(page, stack, dataset_run, task_id, folder, suite):
    _open_task(page, stack, dataset_run, task_id)
    page.get_by_role("link", name="Data Docs", exact=True).click()
    page.wait_for_url(f"**/{folder}/data_docs/index.html")
    with page.expect_response(f"**/data_docs/validations/{suite}/**") as answered:
        page.locator(f"a[href^='validations/{suite}/']").last.click()
    assert answered.value.status == 200
    page.get_by_text("Success Percent").first.wait_for()
    assert suite in page.inner_text("body")
    assert page.problems == []


def test_the_quarantine_table_is_linked_from_its_task(page, stack, api, dataset_run):
    _open_task(page, stack, dataset_run, "collect")
    # Asked for, not clicked: the browser saves a CSV instead of showing it.
    address = page.get_by_role("link", name="Quarantine", exact=True).get_attribute("href")
    answer = page.request.get(f"{stack.airflow_url}{address}")
    assert answer.status == 200
    header, *rows = csv.reader(io.StringIO(answer.text()))
    assert header == list(QUARANTINE_COLUMNS)
    ingested = api.xcom(TaskRun("cxr_dataset_binary", dataset_run, "collect", "success", 1, None))
    assert len(rows) == ingested["n_quarantined"]


def test_the_overview_is_one_click_from_its_task(page, stack, dataset_run):
    _open_task(page, stack, dataset_run, "prepare")
    page.get_by_role("link", name="Overview", exact=True).click()
    page.wait_for_url("**/cxr/datasets/synthetic_binary/*/overview.html")
    assert page.get_by_role("heading", level=1).inner_text() == "synthetic_binary: prepared dataset"
    assert "1,200" in page.inner_text("body")
    # Refused where the browser cannot show one of them.
    shown = page.eval_on_selector_all("svg image", "found => Promise.all(found.map(one => one.decode()))")
    assert len(shown) > 4
    assert page.problems == []


def test_reports_are_in_the_menu(page, stack, released):
    page.get_by_role("link", name="Reports", exact=True).first.click()
    page.frame_locator("iframe").get_by_role("link", name="cxr_binary").first.wait_for()


def test_requests_are_in_the_menu_and_lead_to_their_runs(page, stack, released):
    page.get_by_role("link", name="Requests", exact=True).first.click()
    listed = page.frame_locator("iframe")
    released_by = listed.get_by_role("row").filter(has_text="release").filter(has_text="cxr_binary version 1").first
    assert "done" in released_by.inner_text()
    address = released_by.get_by_role("link", name="run", exact=True).get_attribute("href")
    assert address.startswith("/dags/cxr_release/runs/")
    page.goto(f"{stack.airflow_url}{address}")
    # The way back to the list, in the note of the run.
    page.locator("a[href*='/cxr/requests#request-']").first.wait_for()
    assert page.problems == []


def test_pages_are_behind_the_login(browser, stack, released):
    context = browser.new_context()
    page = context.new_page()
    for path in ("/cxr/reports/cxr_binary/1/index.html", "/cxr/reports", "/cxr/requests"):
        page.goto(f"{stack.airflow_url}{path}")
        assert "/auth/login" in page.url, path
    context.close()


def test_pages_cannot_be_asked_for_other_files(page, stack, released):
    for path in (
        "/cxr/reports/../secrets/airflow_jwt_secret/x",
        "/cxr/reports/..%2f..%2fsecrets/1/index.html",
        "/cxr/runs/..%2f..%2fsecrets/validate/data_docs/index.html",
        "/cxr/runs/x/validate/data_docs/..%2f..%2f..%2f..%2fsecrets",
    ):
        assert page.request.get(f"{stack.airflow_url}{path}").status in (404, 403, 400), path


def _newest_manual_run(api, after):
    def newest():
        runs = api.calls.call("GET", "/dags/cxr_dataset_binary/dagRuns?limit=10&order_by=-run_after")["dag_runs"]
        return runs[0] if len(runs) > 1 else None

    return wait_until(newest, "a run that the form started", pause_s=1)


def _wait_for_state(api, run, state):
    def has_come() -> bool:
        now = api.run(run["dag_id"], run["dag_run_id"]).state
        assert now != "failed" or state == "failed"
        return now == state

    wait_until(has_come, f"{run['dag_run_id']} is in state {state}", pause_s=1)
