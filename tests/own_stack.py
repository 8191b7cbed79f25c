"""A stack of a test's own: on free ports, in a run-time folder of its own, stopped at the end whatever happens."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cxr_tasks.installation.settings import PORT_VARIABLES, StackSettings, client_environment
from cxr_tasks.installation.storage.paths import PROJECT_ROOT


def free_ports() -> list[int]:
    """As many ports as a stack has, nothing listening on them; held open together while drawn, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in PORT_VARIABLES]
        for drawn in sockets:
            drawn.bind(("127.0.0.1", 0))
        return [drawn.getsockname()[1] for drawn in sockets]


def port_environment() -> dict[str, str]:
    """The variables that give a stack ports of its own."""
    ports = zip(PORT_VARIABLES.values(), free_ports(), strict=True)
    return {variable: str(port) for (variable, _), port in ports}


@contextlib.contextmanager
def own_stack(home: Path, **variables: str) -> Iterator[StackSettings]:
    """A running stack whose run-time folder is ``home``, and the environment of its clients while it runs.

    Args:
        variables: What is to be set besides, such as ``CXR_DAGS``; what they set is there before the stack starts.
    """
    before = dict(os.environ)
    os.environ.update(port_environment() | {"CXR_HOME": str(home)} | variables)
    command = [sys.executable, "-m", "cxr_tasks.stack"]
    try:
        subprocess.run([*command, "up"], check=True, cwd=PROJECT_ROOT)
        settings = StackSettings.load()
        os.environ.update(client_environment(settings))
        yield settings
    finally:
        subprocess.run([*command, "down"], check=True, cwd=PROJECT_ROOT)
        os.environ.clear()
        os.environ.update(before)
