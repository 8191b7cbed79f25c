"""Airflow's configuration file of the stack, each setting with its reason.

A file rather than ``AIRFLOW__...`` variables: with ``AIRFLOW_HOME`` alone, the ``airflow`` command of any terminal
then sees what the stack sees. Keys stay in ``var/secrets``; the file holds the commands that read them.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.engines import Engines
from cxr_tasks.installation.logins import AIRFLOW_PASSWORDS, airflow_users
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.private import write_private_text
from cxr_tasks.stack.pools import parallel_tasks

#: Seconds after which Redis takes a task for lost: two weeks. A worker that dies is noticed by its heartbeats before.
_VISIBILITY_S = 14 * 24 * 3600
#: The one bundle of DAGs.
BUNDLE = "cxr"


def airflow_options(settings: StackSettings) -> dict[str, dict[str, tuple[str | float | bool, str]]]:
    """Section -> option -> (value, why)."""
    bundle = {
        "name": BUNDLE,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(settings.dags), "refresh_interval": 3},
    }
    secrets = settings.secrets
    engines = settings.engines
    return {
        "core": {
            "executor": (engines.executor, "CXR_EXECUTOR; the local one runs tasks as processes of the scheduler"),
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
            **_logins(settings),
            "min_serialized_dag_update_interval": (5, "a changed DAG shows within seconds"),
        },
        "database": (
            {"sql_alchemy_conn_cmd": (_reads_line(secrets / "airflow_database"), "CXR_DATABASE; it holds a password")}
            if engines.is_postgres
            else {"sql_alchemy_conn": (f"sqlite:///{settings.airflow_home / 'airflow.db'}", "")}
        ),
        "logging": {
            "base_log_folder": (str(settings.airflow_home / "logs"), "also read by the API server: no log server"),
            "logging_level": ("INFO", ""),
            "namespace_levels": ("airflow.dag_processing.manager=WARNING", "it logs three lines at every refresh"),
            "file_task_handler_new_folder_permissions": ("0o700", "logs name data of patients' images"),
            "file_task_handler_new_file_permissions": ("0o600", ""),
            "colored_console_log": (False, "the programs write to files"),
            **_remote_logs(engines),
        },
        "api": {
            "host": (engines.listen, ""),
            "port": (settings.airflow_port, ""),
            "base_url": (settings.airflow_page, ""),
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
        **_fab(engines, os.environ),
        **_metrics(os.environ),
        **_celery(engines, secrets),
    }


def _logins(settings: StackSettings) -> dict[str, tuple[str | float | bool, str]]:
    if settings.engines.has_fab_logins:
        return {"auth_manager": ("cxr_tasks.stack.servers.fab_logins.CxrFabAuthManager", "CXR_LOGINS")}
    users = ",".join(f"{user}:{role}" for user, role in airflow_users(settings.approvers).items())
    return {
        "auth_manager": ("airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager", ""),
        "simple_auth_manager_users": (users, ""),
        "simple_auth_manager_passwords_file": (str(settings.secrets / AIRFLOW_PASSWORDS), ""),
    }


def _fab(engines: Engines, environment: Mapping[str, str]) -> dict[str, dict[str, tuple[str | float | bool, str]]]:
    """A site's own file stands in for ours; Airflow takes one that is not there for an empty one, so we look."""
    if not engines.has_fab_logins:
        return {}
    own = environment.get("CXR_FAB_CONFIG", "")
    if own and not Path(own).is_file():
        raise ConfigurationError(f"CXR_FAB_CONFIG={own}: expected a file of Flask-AppBuilder's settings, found none")
    return {
        "fab": {
            "config_file": (own or str(Path(__file__).with_name("webserver_config.py")), "CXR_FAB_CONFIG"),
            "enable_proxy_fix": (bool(engines.public_url), "links and cookies are those of what people typed"),
            "cache_ttl": (5, "a role that was taken away is gone within seconds"),
        }
    }


def _remote_logs(engines: Engines) -> dict[str, tuple[str | float | bool, str]]:
    """Logs of tasks to the store; without one they stay where they are written, which the API server reads too."""
    if not engines.bucket:
        return {}
    return {
        "remote_logging": (True, "CXR_BUCKET; a task's log goes there when the task has ended"),
        "remote_base_log_folder": (f"s3://{engines.bucket}/logs", ""),
        "remote_log_conn_id": ("", "keys and endpoint by boto3's own variables: no task has to ask for a connection"),
    }


def _metrics(environment: Mapping[str, str]) -> dict[str, dict[str, tuple[str | float | bool, str]]]:
    """Airflow pushes its metrics where OpenTelemetry's own variables say a receiver is."""
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    return {"metrics": {"otel_on": (True, names[0])}} if any(environment.get(name) for name in names) else {}


def _celery(engines: Engines, secrets: Path) -> dict[str, dict[str, tuple[str | float | bool, str]]]:
    if not engines.is_celery:
        return {}
    return {
        "celery": {
            "broker_url_cmd": (_reads_line(secrets / "celery_broker"), ""),
            "result_backend_cmd": (
                _reads_line(secrets / "celery_results"),
                "not Airflow's database: workers need none",
            ),
            "operation_timeout": (10.0, "the usual second is short on a busy machine: 'Celery Task Timeout Error'"),
            "task_acks_late": (True, "a worker that dies gives its task back"),
            "worker_prefetch_multiplier": (1, "no task waits behind a training while another worker is free"),
            "sync_parallelism": (1, ""),
        },
        "celery_broker_transport_options": {
            "visibility_timeout": (_VISIBILITY_S, "longer than the longest task, or it would be handed out twice"),
        },
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
    write_private_text(path, "\n".join(lines))
    return path


def _reads(path: Path) -> str:
    return shlex.join(["cat", str(path)])


def _reads_line(path: Path) -> str:
    """As ``_reads``, without the line's end, which would belong to the name of the database."""
    return shlex.join(["awk", '{ORS=""; print}', str(path)])
