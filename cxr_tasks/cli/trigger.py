"""``cxr trigger``: the same run as from the Airflow UI's form, from a shell."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cxr_tasks.cli.console import PlainConsole
from cxr_tasks.cli.following.approval import require_may_answer
from cxr_tasks.cli.following.display import live_display
from cxr_tasks.cli.following.follow import follow, patiently
from cxr_tasks.cli.following.followed_run import CHAINS, Progress, triggered
from cxr_tasks.cli.following.outcome import outcome_of, print_outcomes
from cxr_tasks.cli.going_on import says_what_goes_on
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.installation.settings import StackSettings, client_environment
from cxr_tasks.installation.storage.fetched_folders import is_in_bucket, parted
from cxr_tasks.train.candidates.checks import check_training
from cxr_tasks.worklist.airflow_api import AirflowApi
from cxr_tasks.worklist.store import Worklist

#: How long a stack that has just started may take to parse its DAG files.
DAGS_LIMIT_S = 240.0


def add_trigger_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="name of a recipe in cxr_tasks/recipes")
    parser.add_argument(
        "--data", metavar="DIR", help="folder with the images, or s3://bucket/folder; default: the recipe's own"
    )
    parser.add_argument("--epochs", type=int, help="train at most this many epochs")
    parser.add_argument(
        "--allow-cpu", action="store_true", help="train a recipe made for a GPU on a CPU all the same; it takes days"
    )
    parser.add_argument("--gate-floor", type=float, help="floor of the mean AUROC instead of the policy's; recorded")
    parser.add_argument(
        "--approve",
        metavar="REASON",
        help="with --wait: approve the version when asked, as the generated administrator; without it a person is "
        "waited for, and the page to answer on is shown",
    )
    parser.add_argument("--wait", action="store_true", help="follow the run to its report; exit code 1 if a task fails")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def trigger_command(options: argparse.Namespace) -> int:
    """Check the request here, before Airflow sees it; trigger; follow to the end where asked to."""
    if options.approve is not None and not options.wait:
        raise ConfigurationError("--approve answers the question while the run is followed: expected --wait with it")
    conf = request_conf(options.recipe, options.data, options.epochs, options.gate_floor, options.allow_cpu)
    console = PlainConsole(stderr=options.json)
    settings = StackSettings.load()
    if options.approve is not None:
        require_may_answer(settings.approvers)
    api = AirflowApi(settings)
    if not options.wait:
        run = api.trigger(next(iter(CHAINS[load_recipe(options.recipe).model_name])), conf)
        address = f"{settings.airflow_page}/dags/{run.dag_id}/runs/{run.run_id}"
        print(json.dumps({"dag_id": run.dag_id, "run_id": run.run_id, "address": address}) if options.json else address)
        return 0
    (facts,) = run_and_follow(console, settings, api, [conf], approve=options.approve)
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        print_outcomes(console, [facts])
    return 0


def request_conf(
    recipe: str, data: str | None, epochs: int | None, gate_floor: float | None, allow_cpu: bool = False
) -> dict[str, Any]:
    """The trigger form's fields; a wrong recipe or folder, or weights that are not to be had, are an error now."""
    # Former versions are looked for by the first task, for which the registry runs.
    asked = load_recipe(recipe).with_overrides(epochs=epochs, gate_floor=gate_floor, allow_cpu=allow_cpu)
    check_training(asked, asks_registry=False)
    folder = data
    if data is not None and is_in_bucket(data):
        parted(data)
    elif data is not None:
        if not Path(data).expanduser().is_dir():
            raise ConfigurationError(f"--data {data}: expected a folder with images, found none")
        folder = str(Path(data).expanduser().resolve())
    asked_for = {"epochs": epochs, "gate_floor": gate_floor, "allow_cpu": allow_cpu}
    return {"recipe": recipe, "data_folder": folder, **asked_for}


def run_and_follow(
    console: PlainConsole,
    settings: StackSettings,
    api: AirflowApi,
    confs: Sequence[dict[str, Any]],
    *,
    approve: str | None = None,
) -> list[dict[str, Any]]:
    """Trigger a dataset DAG for each of ``confs``, of different models; follow their chains side by side with a live
    display; give the facts of each outcome, in the order of ``confs``.

    A version that passed its gate waits for a person; with ``approve``, a reason, it is approved here.
    """
    models = [load_recipe(conf["recipe"]).model_name for conf in confs]
    patiently(lambda: api.wait_for_dags(tuple({dag_id for model in models for dag_id in CHAINS[model]}), DAGS_LIMIT_S))
    followed: list[Progress] = []
    with says_what_goes_on(followed, settings.airflow_page):
        for model, conf in zip(models, confs, strict=True):
            followed.append(_trigger(api, model, conf, approve))
        facts = follow_to_the_end(console, settings, api, followed)
    return [fact for fact in facts if fact is not None]


def follow_to_the_end(
    console: PlainConsole, settings: StackSettings, api: AirflowApi, followed: Sequence[Progress]
) -> list[dict[str, Any] | None]:
    """Follow chains with a live display; the facts of each outcome, None of one that begins after its dataset."""
    # The display reads epochs from MLflow, which asks for the login in the environment. One that does not answer must
    # not hold up what is shown of Airflow.
    os.environ.update(client_environment(settings))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    with live_display(console) as show:
        follow(api, Worklist(), followed, show)
    return [
        patiently(partial(outcome_of, api, progress, settings))
        if next(iter(progress.runs)) == next(iter(progress.chain))
        else None
        for progress in followed
    ]


def _trigger(api: AirflowApi, model: str, conf: dict[str, Any], approve: str | None) -> Progress:
    return triggered(model, api.trigger(next(iter(CHAINS[model])), conf), approve)
