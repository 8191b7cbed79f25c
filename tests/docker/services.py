"""Postgres, Redis and an S3 store for the length of a block, on loopback, in a folder of the test's own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from serving.check.server_process import free_port

DATABASES = {"airflow": "airflow", "mlflow": "mlflow", "mlflow_logins": "mlflow", "cxr": "cxr"}
BUCKET = "cxr"
START_S = 120


@dataclass(frozen=True, slots=True)
class Services:
    """Addresses of what runs; ``passwords`` by role of Postgres, and ``redis``."""

    postgres_port: int
    redis_port: int
    s3_port: int
    s3_credentials: Path
    passwords: dict[str, str]
    processes: dict[str, subprocess.Popen]

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
    with tempfile.TemporaryDirectory(prefix="cxr-postgres-") as folder, _postgres(Path(folder), passwords) as port:
        yield port


@contextlib.contextmanager
def _postgres(folder: Path, passwords: dict[str, str]) -> Iterator[int]:
    binaries, port = _initdb().parent, free_port()
    data, socket_folder = folder / "data", folder / "socket"
    socket_folder.mkdir(parents=True)
    (folder / "superuser").write_text(secrets.token_urlsafe(24))
    as_user = _unprivileged(folder)
    options = ["--auth=scram-sha-256", f"--pwfile={folder / 'superuser'}", "--username=postgres", "--no-sync"]
    subprocess.run([*as_user, binaries / "initdb", "-D", data, *options], check=True, stdout=subprocess.DEVNULL)
    flags = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={socket_folder}", "-c", "fsync=off"]
    server = _start([*as_user, binaries / "postgres", "-D", data, "-p", port, *flags], folder / "log")
    try:
        _wait(server, lambda: _answers(port), folder / "log")
        import psycopg

        password = (folder / "superuser").read_text()
        address = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        with _connected(psycopg, address) as connection:
            for role in dict.fromkeys(DATABASES.values()):
                connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{passwords[role]}'")
            for name, role in DATABASES.items():
                connection.execute(f"CREATE DATABASE {name} OWNER {role}")
        yield port
    finally:
        _stop(server)


@contextlib.contextmanager
def redis(folder: Path, password: str) -> Iterator[tuple[int, subprocess.Popen]]:
    folder.mkdir(parents=True)
    port = free_port()
    config = folder / "redis.conf"
    config.write_text(f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder}\nsave ''\nappendonly yes\n")
    server = _start(["redis-server", config], folder / "log")
    try:
        _wait(server, lambda: _answers(port), folder / "log")
        yield port, server
    finally:
        _stop(server)


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[tuple[int, Path]]:
    """An S3 store with one identity and one bucket; its port, and the file with the key in boto3's own form."""
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
    server = _start(command, folder / "log")
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        client = boto3.session.Session().client(
            "s3", endpoint_url=f"http://127.0.0.1:{port}", aws_access_key_id=key, aws_secret_access_key=secret,
            region_name="us-east-1",
        )  # fmt: skip

        def has_bucket() -> bool:
            try:
                client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="probe", Body=b"")
            except (BotoCoreError, ClientError):
                return False
            return True

        _wait(server, has_bucket, folder / "log")
        yield port, credentials
    finally:
        _stop(server)


@contextlib.contextmanager
def services(folder: Path) -> Iterator[Services]:
    """All three."""
    passwords = {name: secrets.token_urlsafe(18) for name in (*dict.fromkeys(DATABASES.values()), "redis")}
    with (
        postgres(passwords) as postgres_port,
        redis(folder / "redis", passwords["redis"]) as (redis_port, redis_server),
        seaweed(folder / "seaweed") as (s3_port, credentials),
    ):
        yield Services(postgres_port, redis_port, s3_port, credentials, passwords, {"redis": redis_server})


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
        if port not in found and all(not _answers(one) for one in (port, port + 10000)):
            found.append(port)
    return found


def _start(command: list, log: Path) -> subprocess.Popen:
    with open(log, "wb") as stream:
        return subprocess.Popen(
            [str(one) for one in command], stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, cwd="/"
        )


def _stop(server: subprocess.Popen) -> None:
    """At once: what it keeps goes with the test's folder."""
    import psutil

    family = [*psutil.Process(server.pid).children(recursive=True)] if server.poll() is None else []
    server.kill()
    server.wait()
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(server: subprocess.Popen, is_ready: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + START_S
    while not is_ready():
        if server.poll() is not None or time.monotonic() > end:
            raise AssertionError(f"{server.args[:2]} did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)


@contextlib.contextmanager
def _connected(psycopg, address: str):
    end = time.monotonic() + START_S
    while True:
        try:
            connection = psycopg.connect(address, autocommit=True)
            break
        except psycopg.OperationalError:  # it still starts
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    with connection:
        yield connection
