"""Two model servers that share no volume, a puller beside each, and the proxy of ``docker/`` before them."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from serving.check.server_process import free_port
from serving.client import CxrClient
from serving.export.golden import golden_images
from tests.waiting import wait_until

MODEL = "cxr_binary"
#: Loopback has many addresses: as two machines, both have the same ports.
HOSTS = ("127.0.0.1", "127.0.0.2")


@dataclass
class Replica:
    """A puller and the server of its folder, as containers of ``compose.yaml`` are started."""

    host: str
    folder: Path
    grpc_port: int
    rest_port: int
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    def start(self) -> None:
        """Both programs; the server begins when it is told of a first version, with the flags of ``compose.yaml``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        rest = f"http://{self.host}:{self.rest_port}"
        self._start("puller", [sys.executable, "-m", "serving.pull", "--into", str(self.folder), "--server", rest])
        flags = [
            *(f"--host={self.host}", f"--port={self.grpc_port}", f"--rest_api_port={self.rest_port}"),
            *(f"--model_config_file={self.folder}/models.config", "--model_config_file_poll_wait_seconds=1"),
            *("--allow_version_labels_for_unavailable_models=true", "--num_load_threads=2", "--num_unload_threads=2"),
            # Half of a minute for each version where other tests run beside.
            "--enable_model_warmup=false",
        ]
        waits = 'until test -s "$0/models.config"; do sleep 0.2; done; exec "$@"'
        self._start("server", ["bash", "-c", waits, str(self.folder), sys.executable, "-m", "serving.server", *flags])

    def _start(self, name: str, command: list[str]) -> None:
        with open(self.folder.with_name(f"{self.folder.name}-{name}.log"), "ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=log, stderr=log)

    def stop(self) -> None:
        """At once, as a machine that is lost."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.processes.clear()

    def versions(self) -> list[int]:
        with CxrClient(f"http://{self.host}:{self.rest_port}", patience_s=0) as client:
            return sorted(one.version for one in client.versions(MODEL) if one.state == "AVAILABLE")

    def at(self, label: str) -> int:
        with CxrClient(f"http://{self.host}:{self.rest_port}", patience_s=0) as client:
            return client.version_at(MODEL, label)


@contextlib.contextmanager
def proxy(folder: Path, grpc_port: int) -> Iterator[tuple[str, Path]]:
    """Caddy with ``docker/proxy/Caddyfile``, told the replicas' addresses; its own for gRPC, its authority."""
    folder.mkdir(parents=True)
    ports = {port: free_port() for port in (8443, 5443, 8543)}
    text = (PROJECT_ROOT / "docker" / "proxy" / "Caddyfile").read_text()
    for usual, port in ports.items():
        text = text.replace(f":{usual} {{", f":{port} {{")
    text = text.replace("{\n", "{\n\tdefault_bind 127.0.0.1\n", 1)
    backends = " ".join(f"{host}:{grpc_port}" for host in HOSTS)
    text, n = re.subn(r"dynamic a model-servers 8500 \{[^}]*\}", f"to {backends}", text)
    assert n == 1, "the proxy finds its model servers in another way"
    (folder / "Caddyfile").write_text(text)
    told = {**os.environ, "CXR_SITE": "localhost", "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    caddy = [str(Path(sys.executable).parent / "caddy"), "run", "--adapter", "caddyfile"]
    with open(folder / "log", "wb") as stream:
        process = subprocess.Popen([*caddy, "--config", folder / "Caddyfile"], env=told, stdout=stream, stderr=stream)
    authority = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    try:
        log = folder / "log"
        wait_until(
            lambda: authority.is_file() and b"server running" in log.read_bytes(), "Caddy runs", of=process,
            tell=log.read_text,
        )  # fmt: skip
        yield f"localhost:{ports[8543]}", authority
    finally:
        process.terminate()
        process.wait()


class Clients:
    """Threads that ask through the proxy all the time, by label and without; each notes what it was answered."""

    def __init__(self, address: str, ca_file: Path):
        self._address, self._ca_file = address, ca_file
        self._image = golden_images()["square_grey.jpeg"]
        self.versions: dict[str | None, Counter[int]] = {"stable": Counter(), None: Counter()}
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(at,)) for at in self.versions]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, at: str | None) -> None:
        # Without patience: a connection that breaks is an error.
        with CxrClient(self._address, patience_s=0, ca_file=self._ca_file) as client:
            while not self._stop.wait(0.02):
                try:
                    self.versions[at][client.predict(MODEL, self._image, at=at).version] += 1
                except Exception as error:
                    self.errors.append(f"{at}: {error}")
