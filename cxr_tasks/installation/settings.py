"""Where the local stack listens, and what a command outside it needs to talk to it. Light to import."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.approvers import APPROVERS_VARIABLE, DEFAULT_APPROVER, approval_limit, approvers
from cxr_tasks.installation.engines import HOST, Engines
from cxr_tasks.installation.folders import require_folders, require_holdable
from cxr_tasks.installation.logins import Login, airflow_login, mlflow_login
from cxr_tasks.installation.storage.paths import PROJECT_ROOT, home, secrets_root
from cxr_tasks.installation.tensorflow_start import GROWTH_VARIABLE

#: Field of ``StackSettings`` -> the variable that moves it and the port without it.
PORT_VARIABLES = {
    "airflow_port": ("CXR_AIRFLOW_PORT", 8080),
    "mlflow_port": ("CXR_MLFLOW_PORT", 5000),
    "grpc_port": ("CXR_GRPC_PORT", 8500),
    "rest_port": ("CXR_REST_PORT", 8501),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """Addresses and folders of one stack; two checkouts differ in ``home`` and ports and share nothing."""

    home: Path
    dags: Path
    airflow_port: int
    mlflow_port: int
    grpc_port: int
    rest_port: int
    approvers: tuple[str, ...] = (DEFAULT_APPROVER,)
    """Airflow logins that may answer an approval."""
    engines: Engines = field(default_factory=Engines)
    """Executor, database, store and hosts; without any of them, this one machine."""

    @classmethod
    def load(cls) -> StackSettings:
        """The settings of the stack that is up, as recorded when it started; else those it would start with."""
        record = home() / "stack" / "settings.json"
        if not record.is_file():
            return cls.requested(os.environ)
        try:
            stored = json.loads(record.read_text(encoding="utf-8"))
            if isinstance(stored, dict):
                # A stack that was started before there were approvers or engines can still be stopped.
                stored.setdefault("approvers", [DEFAULT_APPROVER])
                stored["engines"] = Engines(**stored.get("engines", {}))
            if set(stored) != {field.name for field in fields(cls)}:
                raise ValueError(f"keys {', '.join(sorted(stored))}")
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{record}: expected the settings of the running stack, found {error}; "
                "run 'make down', remove this file, then 'make up'"
            ) from None
        changed = {"home": home(), "dags": Path(stored["dags"]), "approvers": tuple(stored["approvers"])}
        return cls(**{**stored, **changed})

    @classmethod
    def requested(cls, environment: Mapping[str, str]) -> StackSettings:
        """What ``environment`` asks for: the default ports where it names none, DAGs from ``dags/`` or ``CXR_DAGS``.

        Raises:
            ConfigurationError: A port is not a number from 1024 to 65535, two are equal, the folder of DAGs is
                absent, a folder's name has a character that a configuration file cannot hold, or
                approvers or the time they are given are not such.
        """
        dags = Path(environment.get("CXR_DAGS") or PROJECT_ROOT / "dags").absolute()
        if not dags.is_dir():
            raise ConfigurationError(f"CXR_DAGS={dags}: expected a folder of DAG files, found none")
        require_folders()
        require_holdable(dags, "CXR_DAGS")
        ports = {name: _port(environment, variable, usual) for name, (variable, usual) in PORT_VARIABLES.items()}
        holders: dict[int, str] = {}
        for name, port in ports.items():
            if port in holders:
                first, second = (PORT_VARIABLES[holder][0] for holder in (holders[port], name))
                raise ConfigurationError(f"{first} and {second} are both {port}; each needs a port of its own")
            holders[port] = name
        approval_limit(environment)
        engines = Engines.requested(environment)
        return cls(home=home(), dags=dags, approvers=approvers(environment), engines=engines, **ports)

    def as_record(self) -> dict[str, Any]:
        """These settings as plain JSON, for the record that ``load`` reads."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    @property
    def stack_folder(self) -> Path:
        """Supervisor's files, generated configuration and program logs."""
        return self.home / "stack"

    @property
    def record(self) -> Path:
        """Present while the stack is up: the settings in force."""
        return self.stack_folder / "settings.json"

    @property
    def logs_folder(self) -> Path:
        return self.stack_folder / "logs"

    @property
    def airflow_home(self) -> Path:
        return self.home / "airflow"

    @property
    def mlflow_home(self) -> Path:
        return self.home / "mlflow"

    @property
    def secrets(self) -> Path:
        """Generated logins and keys, and the addresses of databases."""
        return secrets_root(self.home)

    @property
    def airflow_url(self) -> str:
        return f"http://{self.engines.airflow_host}:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{self.engines.mlflow_host}:{self.mlflow_port}"

    @property
    def grpc_address(self) -> str:
        return f"{self.engines.model_hosts[0]}:{self.grpc_port}"

    @property
    def rest_url(self) -> str:
        return f"http://{self.engines.model_hosts[0]}:{self.rest_port}"

    @property
    def airflow_page(self) -> str:
        """Where people open Airflow; programs use ``airflow_url``, whose name may be known to machines alone."""
        return self.engines.public_url or self.airflow_url

    @property
    def mlflow_page(self) -> str:
        """Where people open MLflow."""
        return self.engines.public_mlflow_url or self.mlflow_url

    def airflow_login(self) -> Login:
        """The Airflow administrator; ``ServiceUnavailable`` before the first start, when there is none."""
        return airflow_login(self.secrets)

    def mlflow_login(self) -> Login:
        """The MLflow administrator; ``ServiceUnavailable`` before the first start, when there is none."""
        return mlflow_login(self.secrets)


def common_environment(settings: StackSettings) -> dict[str, str]:
    """What every program of the stack, every task and every client gets: addresses, quiet libraries, no telemetry."""
    # Proxies must not see, and could not answer, requests to the stack's own servers.
    no_proxy = ",".join(dict.fromkeys((HOST, "localhost", *settings.engines.hosts)))
    return {
        "CXR_HOME": str(settings.home),
        **settings.engines.as_environment(),
        "CXR_AIRFLOW_PORT": str(settings.airflow_port),
        "CXR_MLFLOW_PORT": str(settings.mlflow_port),
        "CXR_GRPC_PORT": str(settings.grpc_port),
        "CXR_REST_PORT": str(settings.rest_port),
        APPROVERS_VARIABLE: ",".join(settings.approvers),
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        # Of the model server too, be it the embedded one or tensorflow_model_server: training needs the GPU beside it.
        GROWTH_VARIABLE: os.environ.get(GROWTH_VARIABLE, "true"),
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "NO_PROXY": _joined(os.environ.get("NO_PROXY"), no_proxy),
        "no_proxy": _joined(os.environ.get("no_proxy"), no_proxy),
    }


def client_environment(settings: StackSettings | None = None) -> dict[str, str]:
    """Environment variables for a command that talks to the stack from outside, such as ``cxr``.

    Holds the MLflow password: hand it to a process, print it nowhere.

    Raises:
        ServiceUnavailable: The stack has never been started in this run-time folder.
    """
    settings = settings or StackSettings.load()
    login = settings.mlflow_login()
    return {
        **common_environment(settings),
        "MLFLOW_TRACKING_URI": settings.mlflow_url,
        "MLFLOW_REGISTRY_URI": settings.mlflow_url,
        "MLFLOW_TRACKING_USERNAME": login.username,
        "MLFLOW_TRACKING_PASSWORD": login.password,
    }


def require_up(settings: StackSettings) -> None:
    """``ServiceUnavailable`` unless the stack of this run-time folder was started and not stopped."""
    if not settings.record.is_file():
        raise ServiceUnavailable(f"the stack of {settings.home} is not running; start it with 'make up'")


def _port(environment: Mapping[str, str], variable: str, usual: int) -> int:
    text = environment.get(variable) or str(usual)
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise ConfigurationError(f"{variable}={text}: expected a port number from 1024 to 65535, for example {usual}")
    return int(text)


def _joined(present: str | None, added: str) -> str:
    return f"{present},{added}" if present else added
