"""Which engines an installation runs on: executor, database, S3 store, hosts. Without any of them, one machine.

Settings name engines; addresses that hold a password are files of ``secrets_root()``, one line each, so that a process
can be given those that it needs and no others (``Secret``).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.installation.storage.addresses import POSTGRES, SECRETS, read_address

HOST = "127.0.0.1"
SQLITE = "sqlite"
LOCAL, CELERY, KUBERNETES = "LocalExecutor", "CeleryExecutor", "KubernetesExecutor"
EXECUTORS = (LOCAL, CELERY, KUBERNETES)
SIMPLE_LOGINS, FAB_LOGINS = "simple", "fab"

#: Field of ``Engines`` -> the variable that sets it.
VARIABLES = {
    "executor": "CXR_EXECUTOR",
    "database": "CXR_DATABASE",
    "bucket": "CXR_BUCKET",
    "airflow_host": "CXR_AIRFLOW_HOST",
    "mlflow_host": "CXR_MLFLOW_HOST",
    "model_host": "CXR_MODEL_HOST",
    "listen": "CXR_LISTEN",
    "public_url": "CXR_PUBLIC_URL",
    "public_mlflow_url": "CXR_PUBLIC_MLFLOW_URL",
    "public_grpc": "CXR_PUBLIC_GRPC",
    "slots": "CXR_CLUSTER_SLOTS",
    "logins": "CXR_LOGINS",
    "audit_bucket": "CXR_AUDIT_BUCKET",
}

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The engines of one installation; as it is without arguments, all runs on one machine and in files."""

    executor: str = LOCAL
    database: str = SQLITE
    bucket: str = ""
    """S3 bucket of task logs, MLflow's artifacts and exported versions; keys and endpoint by boto3's own variables."""
    airflow_host: str = HOST
    mlflow_host: str = HOST
    model_host: str = HOST
    """One host, or several with commas: model servers that share no volume, each with the same ports. A name may stand
    for several addresses (``cxr_tasks.installation.replicas``)."""
    listen: str = HOST
    """The address that servers bind to."""
    public_url: str = ""
    """What people type for Airflow where a proxy stands before it, such as ``https://cxr.example.org``."""
    public_mlflow_url: str = ""
    """The same for MLflow."""
    public_grpc: str = ""
    """The same for the model server, by TLS, such as ``cxr.example.org:8543``."""
    slots: str = ""
    """How many tasks of datasets and trainings run at once on all workers together; empty: by this machine's cores."""
    logins: str = SIMPLE_LOGINS
    """``simple``: generated logins in a file. ``fab``: in Airflow's database, with pages to manage them, or of an
    identity provider (``installation/oidc.py``)."""
    audit_bucket: str = ""
    """S3 bucket with object lock, for copies of the audit log's lines; of its own, so that other keys may reach it."""

    @classmethod
    def requested(cls, environment: Mapping[str, str]) -> Engines:
        """What ``environment`` asks for.

        Raises:
            ConfigurationError: A name is not known, engines do not go together, or a secret that they need is absent.
        """
        asked = {name: environment[variable] for name, variable in VARIABLES.items() if environment.get(variable)}
        engines = cls(**asked)
        for executor in engines.executors:
            _require_one_of("CXR_EXECUTOR", executor, EXECUTORS)
        _require_one_of("CXR_DATABASE", engines.database, (SQLITE, POSTGRES))
        _require_one_of("CXR_LOGINS", engines.logins, (SIMPLE_LOGINS, FAB_LOGINS))
        if engines.executors != (LOCAL,) and engines.database == SQLITE:
            raise ConfigurationError(
                f"CXR_EXECUTOR={engines.executor}: tasks on other machines need CXR_DATABASE={POSTGRES}, found {SQLITE}"
            )
        for name in ("bucket", "audit_bucket"):
            if (bucket := getattr(engines, name)) and not _BUCKET.fullmatch(bucket):
                raise ConfigurationError(f"{VARIABLES[name]}={bucket}: expected a bucket's name, such as cxr-platform")
        for name in ("airflow_host", "mlflow_host", "model_host", "listen"):
            hosts = engines.model_hosts if name == "model_host" else (getattr(engines, name),)
            if not all(_HOST_NAME.fullmatch(host) for host in hosts):
                raise ConfigurationError(
                    f"{VARIABLES[name]}={getattr(engines, name)}: expected a host's name or an IPv4 address, no port"
                )
        for name in ("public_url", "public_mlflow_url"):
            if (found := getattr(engines, name)) and not re.fullmatch(r"https?://[^\s/]+", found):
                raise ConfigurationError(
                    f"{VARIABLES[name]}={found}: expected such as https://cxr.example.org, without a path"
                )
        if engines.public_grpc and not re.fullmatch(r"[^\s/:]+:\d+", engines.public_grpc):
            raise ConfigurationError(
                f"CXR_PUBLIC_GRPC={engines.public_grpc}: expected a host and a port, such as cxr.example.org:8543"
            )
        if engines.slots and not (engines.slots.isdecimal() and 0 < int(engines.slots) <= 4096):
            raise ConfigurationError(f"CXR_CLUSTER_SLOTS={engines.slots}: expected a number of tasks from 1 to 4096")
        return engines

    @property
    def executors(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.executor.split(","))

    @property
    def is_celery(self) -> bool:
        return CELERY in self.executors

    @property
    def is_postgres(self) -> bool:
        return self.database == POSTGRES

    @property
    def has_fab_logins(self) -> bool:
        return self.logins == FAB_LOGINS

    @property
    def model_hosts(self) -> tuple[str, ...]:
        """The hosts of ``model_host``, in its order; who asks one server asks the first."""
        return tuple(host.strip() for host in self.model_host.split(","))

    @property
    def hosts(self) -> tuple[str, ...]:
        return (self.airflow_host, self.mlflow_host, *self.model_hosts)

    def as_environment(self) -> dict[str, str]:
        """The variables that ask for these engines again, in a program, a task or a command; none is a secret."""
        usual = Engines()
        names = [field.name for field in fields(self)]
        return {VARIABLES[name]: getattr(self, name) for name in names if getattr(self, name) != getattr(usual, name)}

    def needed_secrets(self) -> tuple[str, ...]:
        """Names of ``SECRETS`` that these engines have a use for."""
        databases = [secret for secret in SECRETS if secret.endswith("_database")] if self.is_postgres else []
        return (*databases, *(("celery_broker", "celery_results") if self.is_celery else ()))

    def require_ready(self, folder: Path) -> None:
        """``ConfigurationError`` that names the first package, or address in ``folder``, that they lack."""
        packages = {
            "celery": self.is_celery,
            "psycopg": self.is_postgres,
            "boto3": bool(self.bucket or self.audit_bucket),
            "flask_appbuilder": self.has_fab_logins,
        }
        for name, is_needed in packages.items():
            if is_needed and importlib.util.find_spec(name) is None:
                raise ConfigurationError(
                    f"{self._shown()}: expected the package {name}, found none; install with 'make CLUSTER=1'"
                )
        for name in self.needed_secrets():
            read_address(name, folder)

    def _shown(self) -> str:
        return " ".join(f"{variable}={value}" for variable, value in self.as_environment().items())


def _require_one_of(variable: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigurationError(f"{variable}={value}: expected {' or '.join(known)}{nearest(value, known)}")
