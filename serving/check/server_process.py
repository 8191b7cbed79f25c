"""A model server of one's own for the length of a block: the real one where it is installed, else the embedded one."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import ReleaseRefused
from cxr_tasks.installation.children import end_with_parent
from cxr_tasks.installation.settings import HOST
from cxr_tasks.installation.storage.changes import output_file, work_folder
from cxr_tasks.installation.storage.paths import PROJECT_ROOT


def free_port() -> int:
    """A port free at this moment on the loopback interface."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A model server process and where to reach it, as gRPC names it: ``unix:PATH`` or ``HOST:PORT``."""

    address: str
    process: subprocess.Popen
    log: Path

    def require_alive(self) -> None:
        """``ReleaseRefused`` with the last lines of its log where the process has ended by itself.

        The real server ends when a model it was started with cannot be loaded.
        """
        code = self.process.poll()
        if code is not None:
            lines = self.log.read_text(errors="replace").splitlines()[-5:]
            raise ReleaseRefused(
                f"expected the model server to load the version, found that it ended with code {code}: "
                + " | ".join(lines)
            )


@contextlib.contextmanager
def model_server(
    model_name: str, base_path: Path, log: Path, *, rest_port: int | None = None
) -> Iterator[RunningServer]:
    """A server for ``base_path``, whose process ends with the block. Its output goes to ``log``.

    Without ``rest_port`` it opens no port: it answers on a Unix socket that only its owner reaches.
    """
    with _server([f"--model_name={model_name}", f"--model_base_path={base_path.absolute()}"], log, rest_port) as server:
        yield server


@contextlib.contextmanager
def configured_server(
    config: Path, log: Path, *, rest_port: int | None = None, more: Sequence[str] = ()
) -> Iterator[RunningServer]:
    """A server for the models listed in the file ``config``, which it reads again every second; with ``more`` flags."""
    flags = [
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models=true",
        "--num_load_threads=2",
        "--num_unload_threads=2",
        "--grpc_max_threads=64",
        *more,
    ]
    with _server(flags, log, rest_port) as server:
        yield server


@contextlib.contextmanager
def _server(flags: list[str], log: Path, rest_port: int | None) -> Iterator[RunningServer]:
    with work_folder() as folder:
        # The real server listens on every interface; what is not approved yet answers on a socket in a private folder.
        address = f"unix:{folder}/grpc" if rest_port is None else f"{HOST}:{free_port()}"
        yield from _started(flags, log, address, rest_port)


def _started(flags: list[str], log: Path, address: str, rest_port: int | None) -> Iterator[RunningServer]:
    kind, _, place = address.partition(":")
    where = ["--port=0", f"--grpc_socket_path={place}"] if kind == "unix" else [f"--port={place}"]
    command = [*server_executable(), *where, "--max_num_load_retries=0", *flags]
    if rest_port is not None:
        command.append(f"--rest_api_port={rest_port}")
    log.parent.mkdir(parents=True, exist_ok=True)
    with output_file(log) as output:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=PROJECT_ROOT,
            preexec_fn=end_with_parent,  # noqa: PLW1509  one call into the kernel, no lock
        )
        try:
            yield RunningServer(address, process, log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def server_executable() -> list[str]:
    """``tensorflow_model_server`` where it is on ``PATH``, else the embedded server, which takes the same flags."""
    real = shutil.which("tensorflow_model_server")
    return [real] if real else [sys.executable, "-m", "serving.server"]
