"""Addresses of what people open in a browser: reports, Data Docs, MLflow runs.

Report pages and run pages are paths on the Airflow UI's own address, behind its login.
"""

from __future__ import annotations

import os

from cxr_tasks.installation.engines import VARIABLES
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.registry.tracking import tracking_uri

#: Where the Airflow UI serves the pages of this platform.
PAGES_PREFIX = "/cxr"


def report_page(model_name: str, version: int) -> str:
    return f"{PAGES_PREFIX}/reports/{model_name}/{version}/index.html"


def monitor_page(relative: str = "index.html") -> str:
    """A page below ``monitor_root()``; without an argument the list of all looks."""
    return f"{PAGES_PREFIX}/monitor/{relative}"


def dataset_page(name: str, fingerprint: str) -> str:
    """The overview of a prepared dataset."""
    return f"{PAGES_PREFIX}/datasets/{name}/{fingerprint[:16]}/overview.html"


def run_page(paths: RunPaths, relative: str) -> str:
    """A page that a run left in its folder, such as ``validate/data_docs/index.html``."""
    return f"{PAGES_PREFIX}/runs/{paths.root.name}/{relative}"


def requests_page(shown: str = "all") -> str:
    """The list of requests: all, or those that are open, done or failed."""
    return f"{PAGES_PREFIX}/requests" + ("" if shown == "all" else f"?shown={shown}")


def mlflow_run_page(run_id: str) -> str:
    """The run in the MLflow UI; an empty string where tracking goes to a file, which has no address."""
    address = _mlflow_page()
    if not address:
        return ""
    from cxr_tasks.registry.tracking import client

    experiment = client().get_run(run_id).info.experiment_id
    return f"{address}/#/experiments/{experiment}/runs/{run_id}"


def mlflow_version_page(model_name: str, version: int) -> str:
    """A registered version in the MLflow UI; an empty string where the registry is a file, which has no address."""
    address = _mlflow_page()
    return f"{address}/#/models/{model_name}/versions/{version}" if address else ""


def _mlflow_page() -> str:
    """Where people open MLflow: its name before a proxy, else the one that programs use; empty for a file."""
    uri = tracking_uri()
    if not uri.startswith(("http://", "https://")):
        return ""
    return os.environ.get(VARIABLES["public_mlflow_url"]) or uri
