"""``cxr promote``: make a version champion from a shell; the same release follows as after an approval."""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import UTC, datetime

from rich.console import Console

from cxr_tasks.cli.console import PlainConsole
from cxr_tasks.cli.following.display import LinePrinter
from cxr_tasks.cli.following.follow import follow, release_of
from cxr_tasks.cli.following.followed_run import CHAINS
from cxr_tasks.cli.going_on import says_what_goes_on
from cxr_tasks.contracts.errors import ConfigurationError, ReleaseRefused, nearest
from cxr_tasks.installation.settings import StackSettings, client_environment, require_up
from cxr_tasks.registry.audit import trail
from cxr_tasks.worklist.airflow_api import AirflowApi
from cxr_tasks.worklist.store import Worklist
from serving.served.state import read_state, retry_release


def add_promote_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name in the registry")
    parser.add_argument("version", type=int, help="number of the version")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why it shall serve; kept in the audit log")
    parser.add_argument("--by", metavar="NAME", help="who decided; default: the login name of this shell")
    parser.add_argument("--wait", action="store_true", help="until it serves; exit code 1 if its release fails")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def promote_command(options: argparse.Namespace) -> int:
    """Move alias ``champion``, say what happens next, and wait until the version serves where asked to."""
    if options.model not in CHAINS:
        raise ConfigurationError(
            f"model {options.model!r} is not known{nearest(options.model, CHAINS)} (one of {', '.join(CHAINS)})"
        )
    if not options.reason.strip():
        raise ConfigurationError("--reason: expected why this version shall serve, found nothing")
    settings = StackSettings.load()
    require_up(settings)
    os.environ.update(client_environment(settings))
    from cxr_tasks.registry.approve.promotion import promote

    is_champion = _require_change(options.model, options.version)
    who, began, started_at = trail.who(options.by or ""), datetime.now(UTC), time.monotonic()
    champion = promote(options.model, options.version, who=who, why=options.reason)
    if is_champion:
        # Moved in MLflow, and refused or not released yet: by this decision its release is tried again.
        retry_release(options.model, options.version)
    facts: dict[str, str | int | float] = {"model": champion.model_name, "version": champion.version, "by": who.name}
    console = PlainConsole(stderr=options.json)
    named = f"{champion.model_name} version {champion.version}"
    console.print(f"{named} is champion, by {who}; its release starts within seconds", soft_wrap=True)
    if options.wait:
        facts["release"] = _follow_release(console, AirflowApi(settings), options.model, options.version, began)
        facts["seconds"] = round(time.monotonic() - started_at, 1)
        console.print(f"{named} serves, {facts['seconds']} s after the alias was moved", soft_wrap=True)
    else:
        console.print(f"to see it: {settings.airflow_page}/dags/cxr_release, or cxr models", soft_wrap=True)
    if options.json:
        print(json.dumps(facts))
    return 0


def _follow_release(console: Console, api: AirflowApi, model: str, version: int, began: datetime) -> str:
    worklist = Worklist()
    progress = release_of(worklist, model, version, began)
    with says_what_goes_on([progress], api.page):
        follow(api, worklist, [progress], LinePrinter(console).show)
    (release,) = progress.runs.values()
    if progress.superseded:
        request = worklist.of_run(release.dag_id, release.run_id)
        raise ReleaseRefused(f"{model} version {version} does not serve: {request.result if request else ''}")
    return release.run_id


def _require_change(model: str, version: int) -> bool:
    """Whether the version is champion already, and does not serve; ``ConfigurationError`` where it serves too: no
    release would follow, which is better said than waited for.
    """
    from cxr_tasks.registry.versions import CHAMPION, version_with_alias

    champion = version_with_alias(model, CHAMPION)
    if champion is None or int(champion.version) != version:
        return False
    state = read_state(model)
    run_id = str(champion.run_id or "")
    if state.stable == version and state.content_of(version).is_of_run(run_id):
        raise ConfigurationError(
            f"{model} version {version} is champion already and serves; where it does not answer as it should, see "
            "'cxr doctor'"
        )
    return True
