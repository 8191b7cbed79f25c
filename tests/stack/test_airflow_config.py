"""The file holds what the stack needs, and no secret."""

from __future__ import annotations

import configparser
import dataclasses
import json
import shlex
import stat
import subprocess

import pytest

from cxr_tasks.installation.engines import Engines
from cxr_tasks.installation.logins import KEYS, ensure_logins, read_key
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.stack.pools import TRAINING, parallel_tasks, pools
from cxr_tasks.stack.servers.airflow_config import airflow_options, write_airflow_config
from cxr_tasks.stack.time_limits import LIMITS, task_limit


@pytest.fixture
def written(settings: StackSettings) -> configparser.ConfigParser:
    ensure_logins(settings.home / "secrets")
    parser = configparser.ConfigParser(interpolation=configparser.BasicInterpolation())
    parser.read(write_airflow_config(settings), encoding="utf-8")
    return parser


def test_every_address_follows_the_port(written: configparser.ConfigParser, settings: StackSettings):
    assert written.get("api", "host") == "127.0.0.1"
    assert written.getint("api", "port") == settings.airflow_port
    assert written.get("api", "base_url") == settings.airflow_url
    assert written.get("core", "execution_api_server_url") == f"{settings.airflow_url}/execution/"


def test_dags_come_from_one_local_bundle(written: configparser.ConfigParser, settings: StackSettings):
    (bundle,) = json.loads(written.get("dag_processor", "dag_bundle_config_list"))
    assert bundle["name"] == "cxr"
    assert bundle["kwargs"]["path"] == str(settings.dags)


@pytest.mark.parametrize(
    ("section", "option", "key"),
    [
        ("core", "fernet_key_cmd", "airflow_fernet_key"),
        ("api", "secret_key_cmd", "airflow_api_secret_key"),
        ("api_auth", "jwt_secret_cmd", "airflow_jwt_secret"),
    ],
)
def test_key_commands_give_the_keys(
    written: configparser.ConfigParser, settings: StackSettings, section: str, option: str, key: str
):
    command = shlex.split(written.get(section, option))
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert printed == read_key(settings.home / "secrets", key)


def test_file_holds_no_secret_and_is_private(written: configparser.ConfigParser, settings: StackSettings):
    path = settings.airflow_home / "airflow.cfg"
    text = path.read_text()
    assert not [name for name in KEYS if read_key(settings.home / "secrets", name) in text]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("n_cores", "n_tasks"),
    [
        (1, 2),     # a sensor must not block everything
        (2, 2),
        (3, 3),
        (64, 4),    # each idle worker costs memory
        (None, 2),  # unknown
    ],
)  # fmt: skip
def test_long_tasks_at_once_follow_the_cores(n_cores: int | None, n_tasks: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.cpu_count", lambda: n_cores)
    assert pools()[TRAINING][0] == n_tasks


def test_a_free_slot_of_a_pool_is_a_free_worker(settings: StackSettings):
    """Else trainings could take all workers, and a release would wait for hours with slots free in its pool."""
    assert parallel_tasks() == sum(slots for slots, _ in pools().values())
    assert airflow_options(settings)["core"]["parallelism"][0] == parallel_tasks()


@pytest.mark.airflow_db
def test_airflow_knows_every_option(settings: StackSettings):
    """A misspelt option would be ignored without a word."""
    from airflow.configuration import retrieve_configuration_description

    known = retrieve_configuration_description()
    unknown = [
        f"[{section}] {name}"
        for section, options in airflow_options(settings).items()
        for name in options
        if name.removesuffix("_cmd") not in known.get(section, {}).get("options", {})
    ]
    assert unknown == []


@pytest.mark.airflow_db
def test_options_read_by_command_are_those_airflow_calls_sensitive(settings: StackSettings):
    from airflow.configuration import retrieve_configuration_description

    known = retrieve_configuration_description()
    read_by_command = [
        (section, name.removesuffix("_cmd"))
        for section, options in airflow_options(settings).items()
        for name in options
        if name.endswith("_cmd")
    ]
    assert len(read_by_command) == 3
    assert all(known[section]["options"][name].get("sensitive") for section, name in read_by_command)


@pytest.fixture
def of_a_cluster(settings: StackSettings) -> tuple[StackSettings, configparser.ConfigParser]:
    """Settings and file of a stack on all engines, with an address in each secret file."""
    engines = Engines(
        executor="CeleryExecutor",
        database="postgres",
        bucket="cxr",
        airflow_host="api",
        public_url="https://cxr.example",
    )
    changed = dataclasses.replace(settings, engines=engines)
    ensure_logins(changed.secrets)
    for name in engines.needed_secrets():
        (changed.secrets / name).write_text(f"postgresql://user:word-of-{name}@host/airflow\n")
    parser = configparser.ConfigParser(interpolation=configparser.BasicInterpolation())
    parser.read(write_airflow_config(changed), encoding="utf-8")
    return changed, parser


@pytest.mark.parametrize(
    ("section", "option", "secret"),
    [
        ("database", "sql_alchemy_conn_cmd", "airflow_database"),
        ("celery", "broker_url_cmd", "celery_broker"),
        ("celery", "result_backend_cmd", "celery_results"),
    ],
)
def test_addresses_of_engines_come_from_the_secrets_without_the_lines_end(of_a_cluster, section, option, secret):
    _, written = of_a_cluster
    command = shlex.split(written.get(section, option))
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == f"postgresql://user:word-of-{secret}@host/airflow"


def test_a_cluster_s_file_holds_no_password_and_names_what_others_reach(of_a_cluster):
    settings, written = of_a_cluster
    assert "word-of-" not in (settings.airflow_home / "airflow.cfg").read_text()
    assert written.get("core", "executor") == "CeleryExecutor"
    assert written.get("core", "execution_api_server_url") == f"http://api:{settings.airflow_port}/execution/"
    assert written.get("api", "base_url") == "https://cxr.example"
    assert written.get("logging", "remote_base_log_folder") == "s3://cxr/logs"
    # Handed out again while it still runs, a task would run twice.
    longest = max(task_limit({}, kind) for kind in LIMITS).total_seconds()
    assert written.getint("celery_broker_transport_options", "visibility_timeout") > longest


def test_one_machine_has_nothing_of_a_cluster(written):
    assert written.get("core", "executor") == "LocalExecutor"
    assert written.get("database", "sql_alchemy_conn").startswith("sqlite:///")
    assert not written.has_section("celery") and not written.has_option("logging", "remote_logging")
