"""Podman with settings and storage of its own, and ``docker/compose.yaml`` started by it, service by service.

For machines that reach no registry, have no systemd and few rights (a build server, a container): there podman needs
some settings, never runs a health check by itself, and before 4.6 does not wait for one. So what ``depends_on`` says is
waited for here, by the very commands of ``compose.yaml``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from cxr_tasks.installation.storage.paths import PROJECT_ROOT

#: What is run as root on Debian, beside podman-compose of ``make CLUSTER=1``.
PACKAGES = ("podman", "runc", "netavark", "aardvark-dns", "iptables", "mmdebstrap")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
#: Stands before the names of all containers, networks and volumes.
PROJECT = "cxr-proof"
WAIT_S = 600

# crun refuses the two trees of cgroups that many small machines have; networks of containers are netavark's; a build's
# own network is this machine's.
_CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""


def missing() -> str:
    """What is not installed here, as a reason; empty where all is."""
    if os.getuid():
        return "root, without whom neither a base is made nor podman can do this here"
    lacking = [one for one in ("podman", "runc", "mmdebstrap") if shutil.which(one) is None]
    if lacking:
        return f"{', '.join(lacking)} (apt-get install --no-install-recommends {' '.join(PACKAGES)})"
    return "" if _compose_command()[1].is_file() else "podman-compose (make CLUSTER=1)"


def _compose_command() -> tuple[Path, Path]:
    return Path(sys.executable), Path(sys.executable).parent / "podman-compose"


@dataclass(frozen=True, slots=True)
class Podman:
    """An engine whose images and containers all lie in ``folder``."""

    folder: Path

    def environment(self) -> dict[str, str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        settings, storage = self.folder / "containers.conf", self.folder / "storage.conf"
        settings.write_text(_CONTAINERS, encoding="utf-8")
        places = f'graphroot = "{self.folder / "images"}"\nrunroot = "{self.folder / "run"}"\n'
        storage.write_text(f'[storage]\ndriver = "overlay"\n{places}', encoding="utf-8")
        return {
            "CONTAINERS_CONF": str(settings),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "BUILDAH_ISOLATION": "chroot",
        }

    def run(self, *arguments: object, check: bool = True, timeout_s: float = WAIT_S) -> subprocess.CompletedProcess:
        """``podman`` with ``arguments``; what it says is in the result."""
        return _run(["podman", *map(str, arguments)], {**os.environ, **self.environment()}, check, timeout_s)

    def has_image(self, name: str) -> bool:
        return self.run("image", "exists", name, check=False).returncode == 0

    def base_image(self) -> str:
        """Debian with Python and this machine's certificates, made from Debian's packages once."""
        name = "localhost/cxr-base:13"
        if self.has_image(name):
            return name
        root, context = self.folder / "root.tar", self.folder / "base"
        context.mkdir(exist_ok=True)
        _run(
            ["mmdebstrap", "--quiet", "--variant=minbase", "--include=python3-venv,ca-certificates", "trixie", root],
            dict(os.environ),
            timeout_s=3600,
        )
        self.run("import", "--quiet", root, "localhost/cxr-debian:13")
        root.unlink()
        shutil.copy(CERTIFICATES.resolve(), context / "certificates.crt")
        (context / "Dockerfile").write_text(
            "FROM localhost/cxr-debian:13\n"
            f"COPY certificates.crt {CERTIFICATES}\n"
            f"ENV SSL_CERT_FILE={CERTIFICATES} PIP_CERT={CERTIFICATES}\n"
        )
        self.run("build", "--quiet", "--tag", name, context)
        return name

    def build(self, dockerfile: Path, context: Path, target: str, name: str, **arguments: str) -> float:
        """Build one stage as ``name``; the seconds it took."""
        start = time.monotonic()
        passed = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
        options = ["--layers", "--file", dockerfile, "--target", target, "--tag", name]
        self.run("build", *options, *passed, context, timeout_s=3600)
        return time.monotonic() - start


@dataclass(frozen=True, slots=True)
class Stack:
    """The containers of a copy of ``docker/compose.yaml`` with ``.env`` and secrets beside it.

    ``settings``: what comes before those of ``.env``; ``profiles``: those that are started too.
    """

    podman: Podman
    compose_file: Path
    settings: Mapping[str, str]
    profiles: tuple[str, ...] = ()

    def services(self) -> dict[str, dict]:
        """Name -> service, of all that are started."""
        all_of_them = yaml.safe_load(self.compose_file.read_text())["services"]
        return {
            name: one
            for name, one in all_of_them.items()
            if set(one.get("profiles", self.profiles)) <= set(self.profiles)
        }

    def compose(self, *arguments: object, check: bool = True, timeout_s: float = WAIT_S) -> subprocess.CompletedProcess:
        """``podman-compose`` with ``arguments``, which may name services of any profile."""
        options = ["--env-file", self.compose_file.with_name(".env"), "-p", PROJECT, "-f", self.compose_file]
        services = yaml.safe_load(self.compose_file.read_text())["services"].values()
        profiles = sorted({profile for one in services for profile in one.get("profiles", [])})
        options += [word for profile in profiles for word in ("--profile", profile)]
        environment = {**os.environ, **self.podman.environment(), **self.settings}
        return _run([*_compose_command(), *options, *arguments], environment, check, timeout_s)

    def start(self) -> None:
        """Each service when what it depends on is as ``depends_on`` says."""
        services = self.services()
        done: set[tuple[str, str]] = set()
        for name in _in_order(services):
            for before, condition in _conditions(services[name]):
                if (before, condition) not in done:
                    self._wait(before, condition)
                    done.add((before, condition))
            self.compose("up", "--detach", "--no-deps", name)

    def wait_healthy(self) -> None:
        """Until every health check succeeds."""
        for name, one in self.services().items():
            if "healthcheck" in one:
                self._wait(name, "service_healthy")

    def _wait(self, service: str, condition: str) -> None:
        for container in self.containers(service):
            if condition == "service_healthy":
                self._until_healthy(container)
            elif condition == "service_completed_successfully":
                code = self.podman.run("wait", container).stdout.split()[-1]
                assert code == "0", f"{container} ended with code {code}: {self.log(container)}"

    def _until_healthy(self, container: str) -> None:
        end = time.monotonic() + WAIT_S
        while (done := self.podman.run("healthcheck", "run", container, check=False)).returncode:
            if time.monotonic() > end:
                raise AssertionError(f"{container} is not healthy: {done.stdout}{done.stderr}{self.log(container)}")
            time.sleep(1)

    def containers(self, service: str) -> list[str]:
        """Names of the service's containers, running or not."""
        of_service = ("--filter", f"label=io.podman.compose.service={service}")
        of_project = ("--filter", f"label=io.podman.compose.project={PROJECT}")
        said = self.podman.run("ps", "--all", "--format", "json", *of_service, *of_project).stdout
        names = sorted(one["Names"][0] for one in json.loads(said))
        assert names, f"no container of {service} was made"
        return names

    def log(self, container: str) -> str:
        """The last lines of a container's output."""
        done = self.podman.run("logs", "--tail", "40", container, check=False)
        return done.stdout + done.stderr

    def stop(self, *, with_volumes: bool) -> None:
        self.compose("down", *(["--volumes"] if with_volumes else []))


def _conditions(service: Mapping) -> list[tuple[str, str]]:
    return [(name, one["condition"]) for name, one in service.get("depends_on", {}).items()]


def _in_order(services: Mapping[str, Mapping]) -> Iterator[str]:
    """Each service after those it depends on."""
    left = dict(services)
    while left:
        free = [name for name, one in left.items() if not {before for before, _ in _conditions(one)} & set(left)]
        assert free, f"depends_on goes round in circles: {sorted(left)}"
        for name in free:
            del left[name]
        yield from free


def _run(
    command: list, environment: Mapping[str, str], check: bool = True, timeout_s: float = WAIT_S
) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [str(one) for one in command],
        env=dict(environment),
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert not check or done.returncode == 0, f"{command[0]} failed: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done
