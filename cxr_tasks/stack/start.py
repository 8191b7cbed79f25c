"""``up``: from nothing to a healthy stack, or back to nothing with the reason."""

from __future__ import annotations

import os
import time
from pathlib import Path

from rich.console import Console

from cxr_tasks.contracts.errors import ConfigurationError, CxrError, ServiceUnavailable
from cxr_tasks.installation.approvers import APPROVERS_VARIABLE, approvers
from cxr_tasks.installation.engines import VARIABLES as ENGINES
from cxr_tasks.installation.logins import ensure_logins, require_logins
from cxr_tasks.installation.settings import PORT_VARIABLES, StackSettings
from cxr_tasks.installation.storage.files import write_json
from cxr_tasks.installation.storage.private import close_to_others, make_private
from cxr_tasks.stack.beforehand import check_settings
from cxr_tasks.stack.database import Migration
from cxr_tasks.stack.health import check_health
from cxr_tasks.stack.marked_processes import leftovers, stop_processes
from cxr_tasks.stack.pools import pools
from cxr_tasks.stack.ports import require_free
from cxr_tasks.stack.programs import BY_NAME, PROGRAMS
from cxr_tasks.stack.servers.airflow_config import write_airflow_config
from cxr_tasks.stack.servers.mlflow_server import write_auth_config
from cxr_tasks.stack.servers.model_server import warnings_of_real_server
from cxr_tasks.stack.stop import sweep
from cxr_tasks.stack.supervision import ProgramState, Supervision, start_supervisor
from cxr_tasks.worklist.airflow_api import AirflowApi
from cxr_tasks.worklist.store import Worklist
from cxr_tasks.worklist.work_off import begin

#: A start takes half a minute on two free cores and took over seven minutes on two that twenty others shared: a
#: machine under load must not look like a broken stack. A program that ends is reported at once all the same.
HEALTHY_TIMEOUT_S = 900
#: A look costs 60 ms of processor time, which the programs that start could use.
LOOK_INTERVAL_S = 1.0
LOG_LINES = 25


def up(console: Console, *, timeout_s: float = HEALTHY_TIMEOUT_S) -> StackSettings:
    """Start what is not running, wait until all is healthy, and return the settings in force.

    Raises:
        CxrError: A port is busy, a program ended or did not become healthy in time. What this call started is
            stopped again; a stack that ran before is left as it was.
    """
    running = StackSettings.load()
    supervision = Supervision(running)
    if supervision.answers():
        _require_same(running)
        for name, state in supervision.states().items():
            if not state.is_up:
                console.print(f"{BY_NAME[name].title}: {state.state.lower()}, starting it again")
                supervision.start(name)
        wait_healthy(running, supervision, None, console, timeout_s=timeout_s)
        make_pools(running)
        return running
    settings = StackSettings.requested(os.environ)
    check_settings(os.environ)
    settings.engines.require_ready(settings.secrets)
    for warning in warnings_of_real_server(settings, os.environ):
        console.print(f"WARNING: {warning}", style="bold red", markup=False)
    _clear_leftovers(settings, console)
    require_free(settings)
    prepare_files(settings)
    try:
        supervision = start_supervisor(settings, os.environ)
        migration = Migration(settings, dict(os.environ))
        for program in PROGRAMS:
            if not program.needs_database:
                supervision.start(program.name)
        wait_healthy(settings, supervision, migration, console, timeout_s=timeout_s)
        make_pools(settings)
    except BaseException:  # Ctrl-C included: nothing half-started stays behind
        console.print("stopping what was started")
        sweep(settings)
        raise
    return settings


def prepare_files(settings: StackSettings) -> None:
    """Folders, logins and configuration files of a start, and the record by which other commands find the stack."""
    for folder in (settings.stack_folder, settings.logs_folder, settings.airflow_home, settings.mlflow_home):
        folder.mkdir(parents=True, exist_ok=True)
        close_to_others(folder)
    (settings.home / "served").mkdir(exist_ok=True)
    # Also what an earlier start left under another umask: X-rays, tables of patients, databases.
    make_private(settings.home)
    if os.access(settings.secrets, os.W_OK) or not settings.secrets.exists():
        ensure_logins(settings.secrets, settings.approvers)
    else:
        require_logins(settings.secrets, settings.approvers)  # given from outside, as a container is given its secrets
    write_airflow_config(settings)
    if not settings.engines.is_postgres:  # else MLflow's own program writes it, where tasks do not read it
        write_auth_config(settings)
    write_json(settings.record, settings.as_record())
    # From now on no event is lost, also where the first comes before the list is looked at.
    begin(Worklist())


def make_pools(settings: StackSettings) -> None:
    """Make the pools that tasks belong to, or give them the slots that they shall have; a task without one waits."""
    api = AirflowApi(settings)
    for name, (n_slots, purpose) in pools().items():
        api.ensure_pool(name, n_slots, purpose)


def wait_healthy(
    settings: StackSettings,
    supervision: Supervision,
    migration: Migration | None,
    console: Console,
    *,
    timeout_s: float,
) -> None:
    """Wait until every program is healthy, saying what is waited for; starts Airflow once its database is ready.

    Raises:
        ServiceUnavailable: The migration failed, a program ended, or the time is up; holds the last log lines.
    """
    began = time.monotonic()
    told: set[str] = set()
    first_pids: dict[str, int] = {}
    with console.status("starting") as status:
        while True:
            if migration is not None and _migrated(migration, supervision):
                console.print(f"  {time.monotonic() - began:4.0f} s  Airflow's database is ready")
                migration = None
            states = supervision.states()
            _require_alive(settings, states, first_pids)
            health = check_health(settings, states)
            for name in (name for name in BY_NAME if health[name].is_healthy and name not in told):
                told.add(name)
                console.print(f"  {time.monotonic() - began:4.0f} s  {BY_NAME[name].title}: {health[name].detail}")
            waiting = {name: state.detail for name, state in health.items() if not state.is_healthy}
            if not waiting:
                return
            named = [f"{BY_NAME[name].title} ({detail})" for name, detail in waiting.items()]
            if migration is not None:
                named = ["Airflow's database", *(name for name in named if "Airflow" not in name)]
            status.update(f"{time.monotonic() - began:.0f} s, waiting for " + ", ".join(named))
            if time.monotonic() - began > timeout_s:
                first = next(iter(waiting))
                raise ServiceUnavailable(
                    f"not healthy after {timeout_s:.0f} s: {', '.join(named)}\n{_tail(BY_NAME[first].log(settings))}"
                )
            time.sleep(LOOK_INTERVAL_S)


def _migrated(migration: Migration, supervision: Supervision) -> bool:
    """Whether the database is ready; when it is, Airflow's programs have been started."""
    if migration.has_failed():
        raise ServiceUnavailable(f"Airflow's database could not be migrated\n{_tail(migration.log)}")
    if not migration.is_done():
        return False
    for program in PROGRAMS:
        if program.needs_database:
            supervision.start(program.name)
    return True


def _require_alive(settings: StackSettings, states: dict[str, ProgramState], first_pids: dict[str, int]) -> None:
    """``ServiceUnavailable`` for a program that ended, also when supervisord has started it again meanwhile.

    ``first_pids`` keeps, from one look to the next, the process in which each program was first seen.
    """
    for state in states.values():
        was_replaced = state.is_up and first_pids.setdefault(state.name, state.pid) != state.pid
        if state.has_failed or was_replaced:
            program = BY_NAME[state.name]
            reason = state.spawn_error or ("it is being started again" if was_replaced else state.state.lower())
            raise ServiceUnavailable(
                f"{program.title} ended while it started ({reason})\n{_tail(program.log(settings))}"
            )


def _require_same(running: StackSettings) -> None:
    """A running stack does not change: ``ConfigurationError`` when a variable asks for another one."""
    for name, (variable, _) in PORT_VARIABLES.items():
        asked = os.environ.get(variable)
        if asked and asked != str(getattr(running, name)):
            raise ConfigurationError(
                f"{variable}={asked}, but the running stack listens on {getattr(running, name)}; run 'make down' first"
            )
    for name, variable in ENGINES.items():
        asked = os.environ.get(variable)
        if asked and asked != getattr(running.engines, name):
            raise ConfigurationError(
                f"{variable}={asked}, but the running stack was started with "
                f"{getattr(running.engines, name) or 'none'}; run 'make down' first"
            )
    if os.environ.get(APPROVERS_VARIABLE) and approvers(os.environ) != running.approvers:
        raise ConfigurationError(
            f"{APPROVERS_VARIABLE}={os.environ[APPROVERS_VARIABLE]}, but the running stack was started with "
            f"{','.join(running.approvers)}; run 'make down' first"
        )


def _clear_leftovers(settings: StackSettings, console: Console) -> None:
    """Processes without their supervisor, after it was killed: they hold the ports and cannot be taken over."""
    orphans = leftovers(settings.home)
    if orphans:
        console.print(f"stopping {len(orphans)} processes that an earlier, killed supervisor left")
        alive = stop_processes(orphans, patience_s=10)
        if alive:
            raise CxrError(
                f"processes {[process.pid for process in alive]} of an earlier stack do not end; end them by hand"
            )


def _tail(log: Path) -> str:
    if not log.is_file():
        return f"{log}: no log was written"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    return f"the last lines of {log}:\n" + "\n".join(f"  {line}" for line in lines)
