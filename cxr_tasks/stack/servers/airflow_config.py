"""Airflow's configuration file of the stack, each setting with its reason.

A file rather than ``AIRFLOW__...`` variables: with ``AIRFLOW_HOME`` alone, the ``airflow`` command of any terminal
then sees what the stack sees. Keys stay in ``var/secrets``; the file holds the commands that read them.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from cxr_tasks.installation.logins import AIRFLOW_PASSWORDS, airflow_users
from cxr_tasks.installation.settings import HOST, StackSettings
from cxr_tasks.installation.storage.files import write_text
from cxr_tasks.stack.pools import parallel_tasks

#: The one bundle of DAGs.
BUNDLE = "cxr"


def airflow_options(settings: StackSettings) -> dict[str, dict[str, tuple[str | float | bool, str]]]:
    """Section -> option -> (value, why)."""
    bundle = {
        "name": BUNDLE,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(settings.dags), "refresh_interval": 3},
    }
    secrets = settings.home / "secrets"
    users = ",".join(f"{user}:{role}" for user, role in airflow_users(settings.approvers).items())
    return {
        "core": {
            "executor": ("LocalExecutor", "one machine; tasks are processes of the scheduler"),
            "parallelism": (parallel_tasks(), "the slots of all pools; the default of 32 forks 32 idle workers"),
            "max_active_tasks_per_dag": (parallel_tasks(), "no more than can run"),
            "dags_folder": (str(settings.dags), ""),
            "plugins_folder": (
                str(settings.dags / "plugins"),
                "pages of the UI, and the trigger that watches for champions",
            ),
            "load_examples": (False, ""),
            "dags_are_paused_at_creation": (False, "a DAG can be triggered as soon as it is read"),
            "hostname_callable": ("socket.gethostname", "getfqdn waits seconds for a name server that is not there"),
            "execution_api_server_url": (f"{settings.airflow_url}/execution/", "tasks follow the port"),
            "fernet_key_cmd": (_reads(secrets / "airflow_fernet_key"), ""),
            "auth_manager": ("airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager", ""),
            "simple_auth_manager_users": (users, ""),
            "simple_auth_manager_passwords_file": (str(secrets / AIRFLOW_PASSWORDS), ""),
            "min_serialized_dag_update_interval": (5, "a changed DAG shows within seconds"),
        },
        "database": {
            "sql_alchemy_conn": (f"sqlite:///{settings.airflow_home / 'airflow.db'}", ""),
        },
        "logging": {
            "base_log_folder": (str(settings.airflow_home / "logs"), "also read by the API server: no log server"),
            "logging_level": ("INFO", ""),
            "namespace_levels": ("airflow.dag_processing.manager=WARNING", "it logs three lines at every refresh"),
            "file_task_handler_new_folder_permissions": ("0o700", "logs name data of patients' images"),
            "file_task_handler_new_file_permissions": ("0o600", ""),
            "colored_console_log": (False, "the programs write to files"),
        },
        "api": {
            "host": (HOST, ""),
            "port": (settings.airflow_port, ""),
            "base_url": (settings.airflow_url, ""),
            "workers": (1, "a second one costs 300 MB and serves nobody here"),
            "secret_key_cmd": (_reads(secrets / "airflow_api_secret_key"), ""),
            "log_fetch_timeout_sec": (2, ""),
        },
        "api_auth": {"jwt_secret_cmd": (_reads(secrets / "airflow_jwt_secret"), "")},
        "workers": {
            "min_heartbeat_interval": (5, ""),
            "max_failed_heartbeats": (12, "a restart of the API server must not end a training of hours"),
            "execution_api_retries": (8, "the same, for a task that starts or ends meanwhile"),
            "execution_api_retry_wait_max": (15.0, ""),
            "execution_api_timeout": (30.0, "two busy cores can keep SQLite waiting for longer than the usual 5 s"),
        },
        "scheduler": {
            "scheduler_idle_sleep_time": (1, "an Asset's event or a free slot is seen within about a second"),
            "task_instance_heartbeat_timeout": (60, "a task whose supervisor died is retried after a minute, not five"),
            "task_instance_heartbeat_timeout_detection_interval": (5.0, ""),
            "orphaned_tasks_check_interval": (30.0, "tasks of a scheduler that crashed are taken up again"),
            "scheduler_health_check_threshold": (30, ""),
            "enable_health_check": (False, "it would open a port that two checkouts share"),
        },
        "dag_processor": {
            "dag_bundle_config_list": (json.dumps([bundle]), ""),
            "refresh_interval": (3, "new and changed files"),
            "bundle_refresh_check_interval": (3, ""),
            "min_file_process_interval": (60, "unchanged files: only for what they import"),
            "parsing_processes": (1, "leaves a core to the tasks"),
            "print_stats_interval": (600, "an idle stack writes no log"),
        },
        "triggerer": {"capacity": (100, "")},
    }


def write_airflow_config(settings: StackSettings) -> Path:
    """Write ``airflow.cfg`` of the stack, for the owner only, and return its path."""
    lines = ["# Written anew by every 'make up' from cxr_tasks/stack/servers/airflow_config.py: change it there.", ""]
    for section, options in airflow_options(settings).items():
        lines.append(f"[{section}]")
        for name, (value, reason) in options.items():
            if reason:
                lines.append(f"# {reason}")
            lines.append(f"{name} = {value}")
        lines.append("")
    path = settings.airflow_home / "airflow.cfg"
    write_text(path, "\n".join(lines))
    path.chmod(0o600)
    return path


def _reads(path: Path) -> str:
    return shlex.join(["cat", str(path)])
