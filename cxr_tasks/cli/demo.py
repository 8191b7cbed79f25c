"""The first thing to try: from nothing to a served model and its report, on generated X-rays, through Airflow."""

from __future__ import annotations

import json
import sys
import time

from rich.console import Console
from rich.table import Table

from cxr_tasks.cli.airflow_api import AirflowApi
from cxr_tasks.cli.outcome import print_outcome
from cxr_tasks.cli.trigger import request_conf, run_and_follow
from cxr_tasks.contracts.artifacts import replaced_file
from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.contracts.paths import home
from cxr_tasks.stack.settings import StackSettings
from cxr_tasks.stack.start import up

RECIPE = "synthetic_binary"


def main() -> int:
    """Exit code 0 when the new model is served, or was refused because a better one is; 1 otherwise."""
    console = Console()
    started_at = time.monotonic()
    try:
        settings = up(console)
        stack_seconds = time.monotonic() - started_at
        console.print(f"\nRecipe [bold]{RECIPE}[/bold], triggered through Airflow at {settings.airflow_url}\n")
        facts = run_and_follow(console, settings, AirflowApi(settings), request_conf(RECIPE, None, None, None))
    except CxrError as error:
        Console(stderr=True).print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    facts["seconds_per_stage"] = {"stack": round(stack_seconds, 1), **facts["seconds_per_stage"]}
    facts["seconds_total"] = round(time.monotonic() - started_at, 1)
    facts["addresses"] = addresses(settings)
    path = home() / "demo.json"
    with replaced_file(path) as aside:
        aside.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    # It holds the logins.
    path.chmod(0o600)
    console.print()
    print_outcome(console, facts)
    print_addresses(console, facts["addresses"])
    console.print(f"the same facts: {path}    stop everything: make down", style="dim", soft_wrap=True)
    if facts["gate_verdict"] == "PASS":
        return 0 if facts["served_version"] == facts["version"] else 1
    # A refused model is a result where a better one serves already, and a failure of the demo where none does.
    return 0 if facts["served_version"] is not None else 1


def addresses(settings: StackSettings) -> dict[str, dict[str, str]]:
    """Where to look, and with which login."""
    airflow, mlflow = settings.airflow_login(), settings.mlflow_login()
    return {
        "airflow": {"url": settings.airflow_url, "username": airflow.username, "password": airflow.password},
        "mlflow": {"url": settings.mlflow_url, "username": mlflow.username, "password": mlflow.password},
        "grpc": {"url": settings.grpc_address},
        "rest": {"url": settings.rest_url},
    }


def print_addresses(console: Console, places: dict[str, dict[str, str]]) -> None:
    table = Table(title="Addresses", title_justify="left", box=None, pad_edge=False)
    for name in ("", "address", "login", "password"):
        table.add_column(name)
    for name, place in places.items():
        table.add_row(name, place["url"], place.get("username", ""), place.get("password", ""))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
