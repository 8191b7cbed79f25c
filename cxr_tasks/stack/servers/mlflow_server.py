"""The MLflow server with logins, in one process.

``mlflow server`` imports MLflow, then starts uvicorn, which imports it a second time: 9 s and 270 MB each on two
cores. The application is MLflow's own (``stack.mlflow_app`` adds logins and notes who changes the registry) and the
settings are those its command hands on; only the parent is left out. It also starts a job runner unless told not to;
nothing here uses it.
"""

from __future__ import annotations

import configparser
import os
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from cxr_tasks.installation.engines import HOST
from cxr_tasks.installation.logins import MLFLOW_USER, read_key
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.addresses import read_address
from cxr_tasks.installation.storage.changes import lasting_folder
from cxr_tasks.installation.storage.private import write_private_text


def write_auth_config(settings: StackSettings, folder: Path | None = None) -> Path:
    """Write MLflow's basic-auth file into ``folder``, for the owner only; the run-time folder's own where None.

    It names the database of logins, with the password of one in Postgres, which is then for no folder that tasks read.
    """
    config = configparser.ConfigParser(interpolation=None)
    config["mlflow"] = {
        "default_permission": "READ",
        "database_uri": logins_uri(settings),
        "admin_username": MLFLOW_USER,
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        # PBKDF2 costs 0.3 s on each request otherwise, and a training run makes thousands.
        "auth_cache_ttl_seconds": "300",
    }
    path = (folder or settings.mlflow_home) / "basic_auth.ini"
    lines = [
        "# Written anew by every 'make up' from cxr_tasks/stack/servers/mlflow_server.py: change it there.",
        "[mlflow]",
    ]
    lines += [f"{key} = {value}" for key, value in config["mlflow"].items()]
    write_private_text(path, "\n".join(lines) + "\n")
    return path


def server_environment(settings: StackSettings) -> dict[str, str]:
    """What MLflow's server reads from its environment, the first administrator's password included."""
    secrets = settings.secrets
    # MLflow reads the endpoint by a name of its own.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    # Of Postgres, in a new folder that only this user can enter, and in a container only MLflow's own.
    folder = lasting_folder() if settings.engines.is_postgres else settings.mlflow_home
    if settings.engines.is_postgres:
        write_auth_config(settings, folder)
    return {
        **({"MLFLOW_S3_ENDPOINT_URL": endpoint} if endpoint and settings.engines.bucket else {}),
        **_reachable(settings),
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "basic_auth.ini"),
        "MLFLOW_AUTH_ADMIN_PASSWORD": read_key(secrets, "mlflow_admin_password"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": read_key(secrets, "mlflow_flask_key"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def store_uri(settings: StackSettings) -> str:
    """The database of runs and models."""
    if settings.engines.is_postgres:
        return read_address("mlflow_database", settings.secrets)
    return f"sqlite:///{settings.mlflow_home / 'mlflow.db'}"


def logins_uri(settings: StackSettings) -> str:
    """The database of logins: one of its own, as MLflow keeps both schemas' versions in a table of the same name."""
    if settings.engines.is_postgres:
        return read_address("mlflow_logins_database", settings.secrets)
    return f"sqlite:///{settings.mlflow_home / 'basic_auth.db'}"


def artifacts_uri(settings: StackSettings) -> str:
    """Where the server keeps artifacts; its clients hold no key to it."""
    if settings.engines.bucket:
        return f"s3://{settings.engines.bucket}/mlflow"
    folder = settings.mlflow_home / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.as_uri()


def _reachable(settings: StackSettings) -> dict[str, str]:
    """MLflow answers only to names, and to pages of origins, that it knows; loopback is among them already.

    Without a public name of its own it has the one that Airflow has, with another port.
    """
    public = urlsplit(settings.engines.public_mlflow_url or settings.engines.public_url)
    hosts = {settings.engines.mlflow_host, public.hostname or ""} - {"", HOST}
    named = ",".join(f"{host},{host}:*" for host in sorted(hosts))
    told = {"MLFLOW_SERVER_ALLOWED_HOSTS": f"localhost:*,{HOST}:*,{named}"} if named else {}
    if public.hostname:
        origin = f"{public.scheme}://{public.hostname}"
        told["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = f"{origin},{origin}:*"
    return told


def main() -> None:
    """Serve until told to stop; expects ``server_environment`` in the environment."""
    settings = StackSettings.load()
    uri = store_uri(settings)

    from mlflow.server import constants

    os.environ.update(
        {
            constants.BACKEND_STORE_URI_ENV_VAR: uri,
            constants.REGISTRY_STORE_URI_ENV_VAR: uri,
            constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts_uri(settings),
            constants.SERVE_ARTIFACTS_ENV_VAR: "true",
            "_MLFLOW_SGI_NAME": "uvicorn",
        }
    )
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(uri, uri, "mlflow-artifacts:/")
    if not settings.engines.is_postgres:
        write_ahead(settings.mlflow_home / "mlflow.db")

    import uvicorn

    uvicorn.run(
        "cxr_tasks.stack.mlflow_app:create_app",
        factory=True,
        host=settings.engines.listen,
        port=settings.mlflow_port,
        access_log=False,
        log_level="info",
        timeout_graceful_shutdown=5,
    )


def write_ahead(database: Path) -> None:
    """Switch an SQLite file to its write-ahead log, for good: readers then never wait for a writer."""
    with sqlite3.connect(database, timeout=30) as connection:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    connection.close()
    if mode != "wal":
        print(f"{database}: stays in journal mode {mode}; the file system may not support shared memory")


if __name__ == "__main__":
    main()
