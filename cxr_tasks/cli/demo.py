"""The first thing to try: from nothing to two served models and their reports, on drawn X-rays, through Airflow."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from cxr_tasks.cli.console import PlainConsole
from cxr_tasks.cli.following.approval import ANSWERS_AS
from cxr_tasks.cli.following.follow import TaskFailed
from cxr_tasks.cli.following.outcome import print_outcomes
from cxr_tasks.cli.trigger import request_conf, run_and_follow
from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.contracts.families import FAMILIES
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.installation.storage.private import write_private_text
from cxr_tasks.stack.start import up
from cxr_tasks.worklist.airflow_api import AirflowApi

#: One for each family of models; they run side by side.
RECIPES = tuple(f"synthetic_{family.name}" for family in FAMILIES)
#: Stands in the audit log, beside the name of the generated administrator.
REASON = "approved by make demo, without a look: synthetic X-rays"


def main(arguments: Sequence[str] = ()) -> int:
    """Exit code 0 when each new model is served, or was not taken and another one is; 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m cxr_tasks.cli.demo", description=__doc__)
    parser.add_argument("--no-start", action="store_true", help="the stack is started by others, such as containers")
    parser.add_argument("--recipe", action="append", choices=RECIPES, help="only this one, or these (default: both)")
    options = parser.parse_args(arguments)
    recipes = options.recipe or RECIPES
    console = PlainConsole()
    started_at = time.monotonic()
    try:
        settings = StackSettings.load() if options.no_start else up(console)
        stack_seconds = time.monotonic() - started_at
        where = addresses(settings)
        console.print(f"\n{' and '.join(recipes)}, triggered through Airflow at {where['airflow']['url']}\n")
        approve = REASON if ANSWERS_AS in settings.approvers else None
        if approve:
            console.print(
                f"New versions are approved by the demo itself, as {ANSWERS_AS}: it is a demo on synthetic X-rays. "
                "Elsewhere a person decides.\n",
                soft_wrap=True,
            )
        confs = [request_conf(recipe, None, None, None) for recipe in recipes]
        outcomes = run_and_follow(console, settings, AirflowApi(settings), confs, approve=approve)
    except CxrError as error:
        said = PlainConsole(stderr=True)
        said.print(f"demo: {error}", style="red", soft_wrap=True)
        if isinstance(error, TaskFailed):
            said.print("What else was triggered goes on in Airflow; 'make down' stops it.", soft_wrap=True)
        return 1
    facts: dict[str, Any] = {
        "models": {outcome["model"]: outcome for outcome in outcomes},
        "seconds_stack": round(stack_seconds, 1),
        "seconds_total": round(time.monotonic() - started_at, 1),
        "addresses": where,
    }
    path = home() / "demo.json"
    # It holds the logins.
    write_private_text(path, json.dumps(facts, indent=2) + "\n")
    console.print()
    print_outcomes(console, outcomes)
    console.print(f"{facts['seconds_total']:.0f} s in all, {stack_seconds:.0f} of them for the stack\n")
    print_addresses(console, facts["addresses"])
    stop = "make cluster-down" if options.no_start else "make down"
    console.print(f"the same facts: {path}    stop everything: {stop}", style="dim", soft_wrap=True)
    return 0 if all(is_result(outcome) for outcome in outcomes) else 1


def is_result(facts: Mapping[str, Any]) -> bool:
    """Whether a family has what the demo is to show: its new model served, or not taken beside one that is."""
    if facts["is_approved"]:
        return facts["served_version"] == facts["version"]
    return facts["served_version"] is not None


def addresses(settings: StackSettings) -> dict[str, dict[str, str]]:
    """Where to look, and with which login."""
    airflow, mlflow = settings.airflow_login(), settings.mlflow_login()
    public_grpc = settings.engines.public_grpc
    # A proxy that gives people gRPC keeps REST to the machines.
    model_server = {"grpc": public_grpc} if public_grpc else {"grpc": settings.grpc_address, "rest": settings.rest_url}
    return {
        "airflow": {"url": settings.airflow_page, "username": airflow.username, "password": airflow.password},
        "mlflow": {"url": settings.mlflow_page, "username": mlflow.username, "password": mlflow.password},
        **{name: {"url": address} for name, address in model_server.items()},
    }


def print_addresses(console: Console, places: dict[str, dict[str, str]]) -> None:
    table = Table(title="Addresses", title_justify="left", box=None, pad_edge=False)
    for name in ("", "address", "login", "password"):
        table.add_column(name)
    for name, place in places.items():
        table.add_row(name, place["url"], place.get("username", ""), place.get("password", ""))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
