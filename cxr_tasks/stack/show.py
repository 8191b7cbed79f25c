"""``status``, ``logs`` and ``login``: what a person reads of the stack."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.installation.logins import LIST_USER, airflow_login, airflow_users
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.stack.health import check_health
from cxr_tasks.stack.marked_processes import leftovers
from cxr_tasks.stack.programs import BY_NAME, PROGRAMS
from cxr_tasks.stack.supervision import Supervision


def stack_status(settings: StackSettings) -> list[dict[str, str | int | bool | None]]:
    """One row per program: name, state, pid, uptime_s, address, is_healthy, detail. All are stopped when none runs."""
    addresses = {
        "mlflow": settings.mlflow_url,
        "api-server": settings.airflow_url,
        "model-server": f"{settings.rest_url}\n{settings.grpc_address} (gRPC)",
    }
    supervision = Supervision(settings)
    states = supervision.states() if supervision.answers() else {}
    health = check_health(settings, states) if states else {}
    rows: list[dict[str, str | int | bool | None]] = []
    for program in PROGRAMS:
        state = states.get(program.name)
        is_up = state is not None and state.is_up
        rows.append(
            {
                "program": program.name,
                "state": state.state.lower() if state else "stopped",
                "pid": state.pid if state and is_up else None,
                "uptime_s": round(time.time() - state.started_at) if state and is_up else None,
                "address": addresses.get(program.name, ""),
                "is_healthy": health[program.name].is_healthy if health else False,
                "detail": health[program.name].detail if health else "",
            }
        )
    return rows


def print_status(console: Console, rows: list[dict[str, str | int | bool | None]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("program", "state", "pid", "uptime", "address"):
        table.add_column(column, no_wrap=True)
    table.add_column("health", overflow="fold")
    for row in rows:
        colour = "green" if row["is_healthy"] else "red"
        uptime = row["uptime_s"]
        table.add_row(
            str(row["program"]),
            str(row["state"]),
            str(row["pid"] or "-"),
            "-" if uptime is None else _duration(int(uptime)),
            str(row["address"]),
            Text(str(row["detail"] or "-").replace("; ", "\n"), style=colour),
        )
    console.print(table, soft_wrap=False)


def print_orphans(console: Console, settings: StackSettings) -> None:
    """Say so when programs run without their supervisor: nothing restarts them then."""
    if not Supervision(settings).answers() and (orphans := leftovers(settings.home)):
        console.print(
            f"{len(orphans)} processes of this stack run without their supervisor, which was killed: "
            "'make up' starts anew, 'make down' stops them"
        )


def print_logins(console: Console, settings: StackSettings) -> None:
    """Addresses, names and passwords, for a person at a terminal."""
    table = Table("page", "address", "user", "password", box=None, pad_edge=False)
    for user, role in airflow_users(settings.approvers).items():
        if user == LIST_USER:
            continue
        login = airflow_login(settings.secrets, user)
        duty = "approver" if user in settings.approvers and role != "admin" else role
        table.add_row(f"Airflow ({duty})", settings.airflow_page, login.username, login.password)
    login = settings.mlflow_login()
    table.add_row("MLflow", settings.mlflow_page, login.username, login.password)
    for user in settings.approvers:
        if user != login.username:
            password = airflow_login(settings.secrets, user).password
            table.add_row("MLflow (approver)", settings.mlflow_page, user, password)
    console.print(table, soft_wrap=False)


def log_files(settings: StackSettings, name: str | None) -> list[Path]:
    """The log of one program, or of all; ``ConfigurationError`` for a name that is none."""
    known = [*BY_NAME, "supervisord", "migration"]
    if name is not None and name not in known:
        raise ConfigurationError(
            f"{name!r} is no program of the stack{nearest(name, known)} (one of {', '.join(known)})"
        )
    names = [name] if name else known
    return [path for program in names if (path := settings.logs_folder / f"{program}.log").is_file()]


def print_logs(console: Console, files: Iterable[Path], *, n_lines: int, follow: bool) -> None:
    """The last lines of each file, each under its name; with ``follow``, what comes until Ctrl-C."""
    ends = {}
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        ends[path] = path.stat().st_size
        console.rule(str(path), align="left")
        for line in text.splitlines()[-n_lines:]:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    while follow and ends:
        time.sleep(0.5)
        for path, end in ends.items():
            ends[path] = _print_new(console, path, end)


def _print_new(console: Console, path: Path, end: int) -> int:
    size = path.stat().st_size if path.is_file() else 0
    if size == end:
        return end
    start = end if size > end else 0  # shorter than before: supervisord began a new file
    with open(path, "rb") as stream:
        stream.seek(start)
        text = stream.read(size - start).decode("utf-8", errors="replace")
    for line in text.splitlines():
        console.print(f"{path.stem}: {line}", markup=False, highlight=False, soft_wrap=True)
    return size


def _duration(seconds: int) -> str:
    """``h:mm:ss``, short enough for a row of 80 characters."""
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
