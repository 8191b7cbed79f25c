"""Links that people open lead to what people type, not to names that machines alone know."""

from __future__ import annotations

import re

import pytest

from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.registry.addresses import mlflow_version_page

#: Who speaks to Airflow's and MLflow's servers, or says what listens on this machine; all others name a page.
PROGRAMS = {
    "cxr_tasks/installation/settings.py",
    "cxr_tasks/stack/servers/airflow_config.py",
    "cxr_tasks/stack/show.py",
    "cxr_tasks/worklist/airflow_api.py",
}


@pytest.mark.parametrize(
    ("public", "expected"),
    [("", "http://mlflow:5000"), ("https://cxr.example.org:5443", "https://cxr.example.org:5443")],
)
def test_a_link_to_mlflow_leads_through_the_proxy_where_one_is(public, expected, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    monkeypatch.setenv("CXR_PUBLIC_MLFLOW_URL", public)
    assert mlflow_version_page("cxr_binary", 3) == f"{expected}/#/models/cxr_binary/versions/3"


def test_a_registry_of_files_has_no_page_whatever_is_public(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////somewhere/mlflow.db")
    monkeypatch.setenv("CXR_PUBLIC_MLFLOW_URL", "https://cxr.example.org:5443")
    assert mlflow_version_page("cxr_binary", 3) == ""


def test_only_programs_use_the_addresses_of_programs():
    uses = re.compile(r"\.(airflow_url|mlflow_url)\b")
    files = [path for name in ("cxr_tasks", "dags", "serving") for path in (PROJECT_ROOT / name).rglob("*.py")]
    found = {str(path.relative_to(PROJECT_ROOT)) for path in files if uses.search(path.read_text(encoding="utf-8"))}
    assert found == PROGRAMS
