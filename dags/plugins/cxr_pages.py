"""Reports, requests and Data Docs as pages of the Airflow UI, behind its login: menu entries, targets of task links."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from airflow.api_fastapi.core_api.security import get_user
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.contracts.families import MODELS
from cxr_tasks.installation.storage.paths import datasets_root, home, inside, monitor_root, reports_root
from cxr_tasks.registry.addresses import PAGES_PREFIX, monitor_page, requests_page
from cxr_tasks.report.requests import Shown, render_requests
from cxr_tasks.worklist.store import Worklist
from serving.served.agreement import disagreements

#: Pages hold other people's text (labels, file names, reasons) and are opened with the viewer's Airflow login, on the
#: address of Airflow's own API. So nothing in them runs, whatever is in them: they need no script, a sandbox without
#: ``allow-scripts`` takes none, and ``script-src`` says it again. ``allow-same-origin`` only lets pages load their
#: pictures and each other with the viewer's login.
_POLICY = "; ".join(
    (
        "sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox allow-downloads allow-top-navigation",
        "default-src 'none'",
        "script-src 'none'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}
_SUFFIXES = {".html", ".css", ".png", ".svg", ".ico", ".json", ".woff2", ".ttf", ".woff", ".csv"}
#: What of a run's folder is shown: these folders with all below them, and these files.
_RUN_PAGES = ("validate/data_docs", "validate_prepared/data_docs", "validate_predictions/data_docs")
_RUN_FILES = ("ingest/quarantine.csv",)

app = FastAPI(title="Chest X-ray reports", docs_url=None, redoc_url=None, openapi_url=None)


@app.exception_handler(401)
async def to_login(request: Request, error: HTTPException) -> Response:
    """A person without a login is sent to it, and comes back to the page asked for."""
    return RedirectResponse(f"/auth/login?next={request.url.path}", status_code=303)


LoggedIn = Annotated[object, Depends(get_user)]


@app.get("/reports/{model}/{version}/{name}")
def report(user: LoggedIn, model: str, version: str, name: str) -> Response:
    """One report page; above it, where the registry no longer agrees with what serves of its model."""
    return _noted(_file(reports_root(), Path(model) / version / name), (model,))


@app.get("/reports", response_class=HTMLResponse)
def index(user: LoggedIn) -> Response:
    """All reports, newest first."""
    page = reports_root() / "index.html"
    if not page.is_file():
        text = "<p>No report yet. The first one is written after the first release.</p>"
        return HTMLResponse(text, headers=_HEADERS)
    return _noted(_file(reports_root(), Path("index.html")), MODELS)


@app.get("/monitor", response_class=HTMLResponse)
@app.get("/monitor/index.html", response_class=HTMLResponse)
def monitoring(user: LoggedIn) -> Response:
    """All versions that were looked at after their release."""
    if not (monitor_root() / "index.html").is_file():
        text = "<p>Nothing was looked at yet; DAG cxr_monitor looks daily.</p>"
        return HTMLResponse(text, headers=_HEADERS)
    return _file(monitor_root(), Path("index.html"))


@app.get("/monitor/{model}/{version}/index.html")
def monitored_version(user: LoggedIn, model: str, version: str) -> Response:
    """All looks at a version, with their trend."""
    return _file(monitor_root(), Path(model) / version / "index.html")


@app.get("/monitor/{model}/{version}/{look}/{name}")
def monitored_look(user: LoggedIn, model: str, version: str, look: str, name: str) -> Response:
    """One look at what a version served: its page, or ``drift.json``."""
    return _file(monitor_root(), Path(model) / version / look / name)


@app.get("/requests", response_class=HTMLResponse)
def requests(user: LoggedIn, shown: Shown = "all") -> Response:
    """The list of requests, newest first, each with state, outcome and run."""
    try:
        return HTMLResponse(render_requests(Worklist(), datetime.now(UTC), shown), headers=_HEADERS)
    except ServiceUnavailable as error:
        return HTMLResponse(f"<p>{html.escape(str(error))}</p>", status_code=503, headers=_HEADERS)


@app.get("/datasets/{name}/{fingerprint}/overview.html")
def dataset(user: LoggedIn, name: str, fingerprint: str) -> Response:
    """What a prepared dataset holds."""
    return _file(datasets_root(), Path(name) / fingerprint / "overview.html")


@app.get("/runs/{run}/{path:path}")
def run_page(user: LoggedIn, run: str, path: str) -> Response:
    """A page a run left: Data Docs of its tables, or the files it could not use."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", run) or run.startswith("."):
        raise HTTPException(404, "no such run")
    folder = home() / "runs" / run
    if path in _RUN_FILES:
        return _file(folder, Path(path))
    for root in _RUN_PAGES:
        if path.startswith(f"{root}/"):
            return _file(folder / root, Path(path).relative_to(root))
    raise HTTPException(404, "no such page")


def _noted(response: FileResponse, models: tuple[str, ...]) -> Response:
    """The page, with what there is to say of registry and serving state above it; other files as they are."""
    if Path(response.path).suffix != ".html":
        return response
    notes = disagreements(tuple(model for model in models if model in MODELS))
    if not notes:
        return response
    shown = "".join(f'<p role="alert"><strong>Note:</strong> {html.escape(str(note))}</p>' for note in notes)
    page = Path(response.path).read_text(encoding="utf-8")
    place = re.search(r"<body[^>]*>", page)
    at = place.end() if place else 0
    return HTMLResponse(page[:at] + shown + page[at:], headers=_HEADERS)


def _file(root: Path, relative: Path) -> FileResponse:
    """A file below ``root``; everything else, links that lead out included, is 404."""
    path = root / relative
    if not inside(root, path) or not path.is_file() or path.suffix not in _SUFFIXES:
        raise HTTPException(404, "no such page")
    return FileResponse(path, headers=_HEADERS)


class ChestXrayPages(AirflowPlugin):
    """Registers the pages and their menu entries."""

    name = "cxr_pages"
    fastapi_apps = [{"app": app, "url_prefix": PAGES_PREFIX, "name": "chest x-ray pages"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Reports",
            "href": f"{PAGES_PREFIX}/reports",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "cxr-reports",
        },
        {
            "name": "Monitoring",
            "href": monitor_page(),
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "cxr-monitoring",
        },
        {
            "name": "Requests",
            "href": requests_page(),
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "cxr-requests",
        },
    ]
