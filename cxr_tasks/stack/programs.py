"""The programs of the stack: their command, environment and log, and the file that tells supervisord about them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.installation.settings import StackSettings, client_environment
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.installation.storage.private import write_private_text
from cxr_tasks.stack.marked_processes import MARK, PROGRAM_MARK
from cxr_tasks.stack.servers.mlflow_server import server_environment

#: A library setting of another project in the caller's shell must not reach this stack.
FOREIGN_PREFIXES = ("AIRFLOW", "MLFLOW_", "_MLFLOW_", "SUPERVISOR_")


@dataclass(frozen=True, slots=True)
class Program:
    """One program that supervisord keeps alive.

    ``needs_database``: it may start only when Airflow's database is migrated.
    ``stop_wait_s``: how long it may take to stop before it is killed.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    needs_database: bool
    stop_wait_s: int

    def log(self, settings: StackSettings) -> Path:
        return settings.logs_folder / f"{self.name}.log"


def _airflow(command: str, title: str, *options: str) -> Program:
    return Program(command, title, ("-m", "airflow", command, *options), needs_database=True, stop_wait_s=15)


#: In the order in which they are started. The slowest to become healthy comes first. No log server: the API server
#: reads the log files itself, and the ports of log servers would be shared by all stacks of a machine.
PROGRAMS = (
    Program("mlflow", "MLflow", ("-m", "cxr_tasks.stack.servers.mlflow_server"), needs_database=False, stop_wait_s=10),
    Program(
        "model-server",
        "model server",
        ("-m", "cxr_tasks.stack.servers.model_server"),
        needs_database=False,
        # It answers what runs (7 s at most), and writes its logs out.
        stop_wait_s=20,
    ),
    _airflow("api-server", "Airflow API and UI"),
    # It waits for running tasks, which may be hours: a task that is stopped is retried after the next start.
    Program(
        "scheduler",
        "Airflow scheduler",
        ("-m", "cxr_tasks.stack.servers.scheduler", "--skip-serve-logs"),
        needs_database=True,
        stop_wait_s=8,
    ),
    _airflow("dag-processor", "Airflow DAG processor"),
    _airflow("triggerer", "Airflow triggerer", "--skip-serve-logs"),
)
BY_NAME = {program.name: program for program in PROGRAMS}


def inherited_environment(settings: StackSettings, caller: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, less what would configure another Airflow or MLflow, with the stack's mark.

    The environment's ``bin`` folder comes first on ``PATH`` and the repository on ``PYTHONPATH``, so that programs
    and tasks find what they start and import from any folder.
    """
    kept = {key: value for key, value in caller.items() if not key.startswith(FOREIGN_PREFIXES)}
    search = [str(PROJECT_ROOT), *kept.get("PYTHONPATH", "").split(os.pathsep)]
    path = [str(Path(sys.executable).parent), *kept.get("PATH", os.defpath).split(os.pathsep)]
    return {
        **kept,
        "PATH": os.pathsep.join(dict.fromkeys(path)),
        "PYTHONPATH": os.pathsep.join(folder for folder in dict.fromkeys(search) if folder),
        "CXR_HOME": str(settings.home),
        MARK: str(settings.home),
        # Airflow's workers rename themselves, which would otherwise overwrite the mark where others look for it.
        "SPT_NOENV": "1",
    }


def airflow_environment(settings: StackSettings) -> dict[str, str]:
    """What a process of Airflow needs, the logins of the tasks it runs included."""
    return {
        **client_environment(settings),
        "AIRFLOW_HOME": str(settings.airflow_home),
        "AIRFLOW_CONFIG": str(settings.airflow_home / "airflow.cfg"),
        # For tasks that import pyarrow before ``cxr_tasks.ingest``, which says why.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "PYTHONUNBUFFERED": "1",
    }


def program_environment(program: Program, settings: StackSettings) -> dict[str, str]:
    """What ``program`` gets beside the inherited environment."""
    environment = {PROGRAM_MARK: program.name, "PYTHONUNBUFFERED": "1"}
    if program.needs_database:
        return environment | airflow_environment(settings)
    return (
        environment | client_environment(settings) | (server_environment(settings) if program.name == "mlflow" else {})
    )


def supervisor_config(settings: StackSettings, socket: Path) -> str:
    """The text of ``supervisord.conf``.

    Its socket is for the owner only. Programs are started one by one over it, once what they need is there, and
    each is started again when it ends unasked, a second later each time, for as long as it takes: a database of another
    machine may be away for an hour.
    """
    folder = settings.stack_folder
    sections = [
        f"[unix_http_server]\nfile = {socket}\nchmod = 0700",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
        f"[supervisord]\nnodaemon = true\nsilent = true\ndirectory = {PROJECT_ROOT}\n"
        f"pidfile = {folder / 'supervisord.pid'}\n"
        f"logfile = {settings.logs_folder / 'supervisord.log'}\nlogfile_maxbytes = 2MB\nlogfile_backups = 2\n"
        f"childlogdir = {settings.logs_folder}",
    ]
    sections += [
        f"[program:{program.name}]\n"
        f"command = {shlex.quote(sys.executable)} -m cxr_tasks.stack.program {program.name}\n"
        "autostart = false\nautorestart = true\nstartsecs = 5\nstartretries = 10000\n"
        f"stopasgroup = true\nkillasgroup = true\nstopwaitsecs = {program.stop_wait_s}\n"
        "umask = 077\n"
        f"redirect_stderr = true\nstdout_logfile = {program.log(settings)}\n"
        "stdout_logfile_maxbytes = 5MB\nstdout_logfile_backups = 3"
        for program in PROGRAMS
    ]
    return "\n\n".join(sections) + "\n"


def write_supervisor_config(settings: StackSettings, socket: Path) -> Path:
    """Write ``supervisord.conf`` for the owner only, and return its path."""
    path = settings.stack_folder / "supervisord.conf"
    write_private_text(path, supervisor_config(settings, socket))
    return path
