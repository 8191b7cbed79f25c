"""Postgres, Redis and an S3 store for the length of a block, on loopback, in a folder of the test's own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serving.check.server_process import free_port
from tests.docker.engine import Engine, answers

DATABASES = {"airflow": "airflow", "mlflow": "mlflow", "mlflow_logins": "mlflow", "cxr": "cxr"}
BUCKET = "cxr"


@dataclass(frozen=True, slots=True)
class Services:
    """Addresses of what runs; ``passwords`` by role of Postgres, and ``redis``."""

    postgres_port: int
    redis_port: int
    s3_port: int
    s3_credentials: Path
    passwords: dict[str, str]
    engines: dict[str, Engine]
    """``postgres``, ``redis``, ``store``."""

    def secrets(self) -> dict[str, str]:
        """Secret file of ``cxr_tasks.installation.engines.SECRETS`` -> the address of what runs here."""
        redis = f"redis://:{self.passwords['redis']}@127.0.0.1:{self.redis_port}"
        return {
            "airflow_database": self.database("airflow").replace("postgresql:", "postgresql+psycopg2:"),
            "mlflow_database": self.database("mlflow"),
            "mlflow_logins_database": self.database("mlflow_logins"),
            "shared_database": self.database("cxr"),
            "celery_broker": f"{redis}/0",
            "celery_results": f"{redis}/1",
        }

    def database(self, name: str) -> str:
        role = DATABASES[name]
        return f"postgresql://{role}:{self.passwords[role]}@127.0.0.1:{self.postgres_port}/{name}"

    @property
    def s3_url(self) -> str:
        return f"http://127.0.0.1:{self.s3_port}"

    def s3_environment(self) -> dict[str, str]:
        """boto3's own variables."""
        return {
            "AWS_ENDPOINT_URL_S3": self.s3_url,
            "AWS_SHARED_CREDENTIALS_FILE": str(self.s3_credentials),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def lacks_postgres() -> str:
    """What Postgres needs and is not installed here; empty where all is."""
    if _initdb() is None:
        return "Postgres (apt-get install postgresql)"
    return "" if importlib.util.find_spec("psycopg") else "psycopg (make CLUSTER=1)"


def lacks_store() -> str:
    """What the S3 store and its client need and is not installed here; empty where all is."""
    is_there = _weed().is_file() and importlib.util.find_spec("boto3")
    return "" if is_there else "SeaweedFS and the packages of a cluster (make CLUSTER=1)"


def missing() -> str:
    """What is not installed here, as a reason to skip; empty where all is."""
    lacking = [one for one in (lacks_postgres(),) if one]
    if shutil.which("redis-server") is None:
        lacking.append("Redis (apt-get install redis-server)")
    lacking += [one for one in (lacks_store(),) if one]
    return ", ".join(lacking)


@contextlib.contextmanager
def postgres(passwords: dict[str, str]) -> Iterator[int]:
    """A Postgres server with the databases of ``DATABASES``, each its role's; its port.

    In a folder of its own: pytest's are closed to the other user that Postgres runs as where the tests are root's.
    """
    with _postgres(passwords) as (port, _):
        yield port


@contextlib.contextmanager
def _postgres(passwords: dict[str, str]) -> Iterator[tuple[int, Engine]]:
    with tempfile.TemporaryDirectory(prefix="cxr-postgres-") as folder:
        server, port = _made_postgres(Path(folder), passwords)
        try:
            yield port, server
        finally:
            server.kill()


def _made_postgres(folder: Path, passwords: dict[str, str]) -> tuple[Engine, int]:
    import psycopg

    binaries, port = _initdb().parent, free_port()
    data, socket_folder = folder / "data", folder / "socket"
    socket_folder.mkdir(parents=True)
    password = secrets.token_urlsafe(24)
    (folder / "superuser").write_text(password)
    as_user = _unprivileged(folder)
    options = ["--auth=scram-sha-256", f"--pwfile={folder / 'superuser'}", "--username=postgres", "--no-sync"]
    subprocess.run([*as_user, binaries / "initdb", "-D", data, *options], check=True, stdout=subprocess.DEVNULL)
    flags = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={socket_folder}", "-c", "fsync=off"]

    def connected() -> psycopg.Connection:
        address = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        return psycopg.connect(address, autocommit=True, connect_timeout=10)

    def is_ready() -> bool:
        try:
            connected().close()
        except psycopg.OperationalError:  # it still starts
            return False
        return True

    server = Engine([*as_user, binaries / "postgres", "-D", data, "-p", port, *flags], folder / "log", is_ready)
    server.start()
    try:
        server.wait()
        with connected() as connection:
            for role in dict.fromkeys(DATABASES.values()):
                connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{passwords[role]}'")
            for name, role in DATABASES.items():
                connection.execute(f"CREATE DATABASE {name} OWNER {role}")
    except BaseException:
        server.kill()
        raise
    return server, port


@contextlib.contextmanager
def redis(folder: Path, password: str) -> Iterator[tuple[int, Engine]]:
    folder.mkdir(parents=True)
    port = free_port()
    config = folder / "redis.conf"
    config.write_text(f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder}\nsave ''\nappendonly yes\n")
    server = Engine(["redis-server", config], folder / "log", lambda: answers(port))
    server.start()
    try:
        server.wait()
        yield port, server
    finally:
        server.kill()


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[tuple[int, Path]]:
    """An S3 store with one identity and one bucket; its port, and the file with the key in boto3's own form."""
    with _seaweed(folder) as (port, credentials, _):
        yield port, credentials


@contextlib.contextmanager
def _seaweed(folder: Path) -> Iterator[tuple[int, Path, Engine]]:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    folder.mkdir(parents=True)
    key, secret = secrets.token_hex(10), secrets.token_hex(20)
    (folder / "s3.json").write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "cxr",
                        "credentials": [{"accessKey": key, "secretKey": secret}],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            }
        )
    )
    credentials = folder / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    port = free_port()
    ports = _ports_with_grpc(3)
    flags = []
    for name, one in zip(("master", "volume", "filer"), ports, strict=True):
        flags += [f"-{name}.port={one}", f"-{name}.port.grpc={one + 10000}"]
    data = folder / "data"
    data.mkdir()
    command = [
        *(_weed(), "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", *flags),
        *(f"-s3.port={port}", f"-s3.port.grpc={free_port()}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-s3.config={folder / 's3.json'}", "-volume.max=200", "-master.volumeSizeLimitMB=64"),
    ]
    client = boto3.session.Session().client(
        "s3", endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id=key, aws_secret_access_key=secret,
        region_name="us-east-1",
    )  # fmt: skip

    def has_bucket() -> bool:
        """Also after a restart: it takes new objects some seconds before it gives the old ones."""
        try:
            with contextlib.suppress(ClientError):  # it is there already
                client.create_bucket(Bucket=BUCKET)
            if not client.list_objects_v2(Bucket=BUCKET, Prefix="probe").get("Contents"):
                client.put_object(Bucket=BUCKET, Key="probe", Body=b"content")
            client.get_object(Bucket=BUCKET, Key="probe")
        except (BotoCoreError, ClientError):
            return False
        return True

    server = Engine(command, folder / "log", has_bucket)
    server.start()
    try:
        server.wait()
        yield port, credentials, server
    finally:
        server.kill()


@contextlib.contextmanager
def services(folder: Path) -> Iterator[Services]:
    """All three."""
    passwords = {name: secrets.token_urlsafe(18) for name in (*dict.fromkeys(DATABASES.values()), "redis")}
    with (
        _postgres(passwords) as (postgres_port, database),
        redis(folder / "redis", passwords["redis"]) as (redis_port, broker),
        _seaweed(folder / "seaweed") as (s3_port, credentials, store),
    ):
        engines = {"postgres": database, "redis": broker, "store": store}
        yield Services(postgres_port, redis_port, s3_port, credentials, passwords, engines)


def _initdb() -> Path | None:
    return max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=None)


def _weed() -> Path:
    return Path(sys.executable).parent / "weed"


def _unprivileged(folder: Path) -> list[str]:
    """Postgres refuses to run as root: the user that Debian made for it then."""
    if os.getuid():
        return []
    user = pwd.getpwnam("postgres")
    for one in (folder, *folder.rglob("*")):
        os.chown(one, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _ports_with_grpc(number: int) -> list[int]:
    """Free ports, each with the one 10000 above it free too."""
    found: list[int] = []
    while len(found) < number:
        port = free_port() % 20000 + 20000
        if port not in found and all(not answers(one) for one in (port, port + 10000)):
            found.append(port)
    return found
