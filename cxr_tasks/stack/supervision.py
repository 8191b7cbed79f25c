"""The running supervisord of a stack: starting it, and asking it over its unix socket."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.changes import output_file
from cxr_tasks.stack.programs import inherited_environment, write_supervisor_config

#: A unix socket's path holds at most 107 bytes on Linux and 103 on macOS; supervisord adds a suffix while it starts.
SOCKET_PATH_BYTES = 90
START_TIMEOUT_S = 15


@dataclass(frozen=True, slots=True)
class ProgramState:
    """What supervisord says of one program. ``started_at`` is in seconds since the epoch, 0 if never started."""

    name: str
    state: str
    pid: int
    started_at: float
    spawn_error: str

    @property
    def is_up(self) -> bool:
        return self.state in ("RUNNING", "STARTING")

    @property
    def has_failed(self) -> bool:
        """Ended unasked; supervisord may still be about to start it again."""
        return self.state in ("BACKOFF", "EXITED", "FATAL", "UNKNOWN")


def socket_path(settings: StackSettings) -> Path:
    """Supervisor's socket: in the run-time folder, or where that path is too long, in a private temporary folder."""
    path = settings.stack_folder / "supervisor.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"cxr-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigurationError(f"{folder}: expected a folder that only this user can enter; remove it")
    return folder / "supervisor.sock"


class Supervision:
    """Calls to one supervisord. Every method raises ``ServiceUnavailable`` when none answers."""

    def __init__(self, settings: StackSettings):
        self._url = f"unix://{socket_path(settings)}"
        self._home = settings.home

    def answers(self) -> bool:
        """Whether supervisord runs and is not on its way out."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except ServiceUnavailable:
            return False

    def pid(self) -> int:
        return int(self._call("getPID"))

    def states(self) -> dict[str, ProgramState]:
        return {
            info["name"]: ProgramState(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                started_at=float(info["start"]),
                spawn_error=info["spawnerr"],
            )
            for info in self._call("getAllProcessInfo")
        }

    def start(self, name: str) -> None:
        """Start a program without waiting for it; one that runs already stays as it is."""
        with contextlib.suppress(_AlreadyStarted):
            self._call("startProcess", name, False)

    def stop_all(self) -> None:
        """Ask all programs to stop, at once and without waiting."""
        self._call("stopAllProcesses", False)

    def shutdown(self) -> None:
        self._call("shutdown")

    def _call(self, method: str, *arguments: Any) -> Any:
        # A new connection each time: the transport keeps a broken one, and then fails in other ways.
        transport = SupervisorTransport(serverurl=self._url)
        try:
            proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" in fault.faultString:
                raise _AlreadyStarted from None
            raise ServiceUnavailable(f"supervisord of {self._home} refused {method}: {fault.faultString}") from None
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise ServiceUnavailable(f"supervisord of {self._home} does not answer: {error}") from None
        finally:
            transport.close()


class _AlreadyStarted(Exception):
    pass


def start_supervisor(settings: StackSettings, caller: Mapping[str, str]) -> Supervision:
    """Start supervisord in a session of its own, with no program started yet, and wait until it answers.

    Raises:
        ServiceUnavailable: It ended or did not answer in time; the message holds its last words.
    """
    config = write_supervisor_config(settings, socket_path(settings))
    output = settings.logs_folder / "supervisord.out"
    with output_file(output) as stream:
        process = subprocess.Popen(  # noqa: S603  our interpreter and our file
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=settings.stack_folder,
            env=inherited_environment(settings, caller),
            start_new_session=True,
        )
    supervision = Supervision(settings)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not supervision.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            said = output.read_text(encoding="utf-8", errors="replace").strip()
            raise ServiceUnavailable(f"supervisord did not start: {said[-2000:] or 'it said nothing'}")
        time.sleep(0.05)
    return supervision
