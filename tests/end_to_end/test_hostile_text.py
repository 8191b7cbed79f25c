"""Other people's text in pages: labels, file names, tags and reasons that try to run script in the viewer's browser.

Two defences, each tested without the other: values are escaped where pages are written (opened here with the pages'
policies switched off), and pages are sent so that nothing in them runs (tried here with a page of nothing but script).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.paths import RunPaths, reports_root
from tests.report.conftest import make_inputs  # noqa: F401, a fixture
from tests.validate.manifests import RECIPE, ingested, make_manifest

pytestmark = [pytest.mark.browser, pytest.mark.gx, pytest.mark.timeout(2400)]

EVIL = "\"'><img src=x onerror=\"window.pwned='image'\"><script>window.pwned='script'</script>"
#: Columns of the manifest that hold words of a source's tables, file names or headers.
FREE_TEXT = (
    "image_id", "view", "sex", "sub_label", "source", "file_format", "mode", "official_split", "split",
    "label_pneumonia",
)  # fmt: skip


@pytest.fixture
def open_page(browser):
    """``open_page(path)``: the page as a browser shows it from disk, with its own policies switched off."""
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()

    def opened(path):
        page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")
        return page

    yield opened
    context.close()


def hostile_data_docs(paths: RunPaths):
    """Every page of the Data Docs of a manifest that is hostile in each column of words, and in a column's name."""
    table = make_manifest().assign(**{EVIL: 1})
    for name in FREE_TEXT:
        column = table[name].astype(object)
        column.iloc[:5] = [f"{EVIL}{name}{row}" for row in range(5)]
        table[name] = column
    with pytest.raises(DataDefect):
        from cxr_tasks.validate import validate_manifest

        validate_manifest(ingested(table, paths), RECIPE, paths)
    return sorted((paths.stage("validate") / "data_docs").rglob("*.html"))


def test_values_of_tables_are_text_in_data_docs(open_page, cxr_home):
    pages = hostile_data_docs(RunPaths.for_run("cxr_dataset_binary", "hostile"))
    shown = ""
    for path in pages:
        page = open_page(path)
        assert page.evaluate("window.pwned") is None, path.name
        assert page.locator("img").count() == 0, path.name
        shown += page.inner_text("body")
    for name in ("view", "sub_label", "split", "label_pneumonia"):
        assert f"{EVIL}{name}0" in shown, f"the value in column {name} is not told as it is"


def hostile(value: Any, keys: frozenset[str], key: str = "") -> Any:
    """``value`` with EVIL at the end of each string that stands under one of ``keys``."""
    if isinstance(value, dict):
        return {name: hostile(one, keys, name) for name, one in value.items()}
    if isinstance(value, list):
        return [hostile(one, keys, key) for one in value]
    return f"{value}{EVIL}" if isinstance(value, str) and key in keys else value


def test_values_of_a_run_are_text_in_report_index_and_card(open_page, make_inputs, tmp_path):  # noqa: F811
    from cxr_tasks.installation.storage.files import write_text
    from cxr_tasks.registry.overrides import Override
    from cxr_tasks.report.card.blocks import as_html
    from cxr_tasks.report.card.card import card_of
    from cxr_tasks.report.writing import write_index, write_report

    inputs = make_inputs()
    free = frozenset({"sentence", "reason", "reasons", "description", "policy"})
    recipe = {**inputs.recipe, "name": f"recipe{EVIL}"}
    recipe["dataset"] = {**recipe["dataset"], "name": f"dataset{EVIL}"}
    labels = {**inputs.statistics["train"], "sub_label": {EVIL: 12}}
    inputs = dataclasses.replace(
        inputs,
        recipe=recipe,
        decision=hostile(inputs.decision, free),
        statistics=dict.fromkeys(inputs.statistics, labels),
        packages={EVIL: EVIL},
        git_commit=EVIL,
        links={EVIL: f"javascript:window.pwned='link'//{EVIL}"},
        overrides=[Override(by=EVIL, at="2026-11-23T15:00:00+00:00", reason=EVIL)],
    )
    reports = tmp_path / "reports"
    write_report(inputs, reports / "cxr_binary" / "3")
    write_text(tmp_path / "card.html", as_html(card_of(inputs, policy=EVIL, environment={EVIL: EVIL})))
    for path in (reports / "cxr_binary" / "3" / "index.html", write_index(reports), tmp_path / "card.html"):
        page = open_page(path)
        assert page.evaluate("window.pwned") is None, path
        assert EVIL in page.inner_text("body"), path


#: A page of nothing but attempts: each would set ``window.pwned``, and the last read Airflow's API with the login.
ATTACK = """<!DOCTYPE html><html><head><title>attack</title><base href="http://127.0.0.1:9/">
<script>window.pwned = 'inline'</script><script src="attack.svg"></script></head>
<body onload="window.pwned = 'onload'"><h1>attack</h1><img src="x" onerror="window.pwned = 'onerror'">
<svg onload="window.pwned = 'svg'"></svg><iframe srcdoc="<script>parent.pwned = 'srcdoc'</script>"></iframe>
<a href="javascript:window.pwned = 'link'">link</a>
<form action="javascript:window.pwned = 'form'"><button>go</button></form>
<script>fetch('/api/v2/dags').then(one => one.text()).then(text => window.pwned = text)</script></body></html>"""
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" onload="window.pwned = 1"><script>window.pwned = 2</script></svg>'


@pytest.mark.stack
@pytest.mark.parametrize("place", ["report", "data_docs"])
def test_nothing_runs_in_pages_that_airflow_shows(page, stack, place, monkeypatch):
    monkeypatch.setenv("CXR_HOME", str(stack.home))
    if place == "report":
        folder, address = reports_root() / "cxr_attack" / "1", "/cxr/reports/cxr_attack/1"
    else:
        folder = stack.home / "runs" / "attack" / "validate" / "data_docs"
        address = "/cxr/runs/attack/validate/data_docs"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(ATTACK)
    (folder / "attack.svg").write_text(PICTURE)
    for name in ("index.html", "attack.svg"):
        answer = page.goto(f"{stack.airflow_url}{address}/{name}")
        assert answer.status == 200
        assert "allow-scripts" not in answer.headers["content-security-policy"]
        page.wait_for_load_state("networkidle")
        if name == "index.html":
            page.get_by_role("heading", name="attack").wait_for()
            page.get_by_text("link").click()
            page.get_by_role("button", name="go").click()
        # Asked from outside the page: no script of its own may run, so it cannot be asked inside.
        assert page.evaluate("window.pwned") is None, name
