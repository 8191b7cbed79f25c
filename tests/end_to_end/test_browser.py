"""What a person does in a browser: log in, trigger a DAG through its form, open the report. Headless Chromium."""

from __future__ import annotations

import time

import pytest

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
    runs = api._call("GET", "/dags/cxr_report/dagRuns?limit=10&order_by=-run_after")["dag_runs"]
    run = next(one for one in runs if one["run_type"] == "asset_triggered")
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


def test_reports_are_in_the_menu(page, stack, released):
    page.get_by_role("link", name="Reports", exact=True).first.click()
    page.frame_locator("iframe").get_by_role("link", name="cxr_binary").first.wait_for()


def test_reports_are_behind_the_login(browser, stack, released):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{stack.airflow_url}/cxr/reports/cxr_binary/1/index.html")
    assert "/auth/login" in page.url
    page.goto(f"{stack.airflow_url}/cxr/reports")
    assert "/auth/login" in page.url
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
    end = time.monotonic() + 60
    while time.monotonic() < end:
        runs = api._call("GET", "/dags/cxr_dataset_binary/dagRuns?limit=10&order_by=-run_after")["dag_runs"]
        if len(runs) > 1:
            return runs[0]
        time.sleep(1)
    raise AssertionError("the form started no run")


def _wait_for_state(api, run, state):
    end = time.monotonic() + 300
    while (found := api.run(run["dag_id"], run["dag_run_id"]).state) != state:
        assert found != "failed"
        assert time.monotonic() < end
        time.sleep(1)
