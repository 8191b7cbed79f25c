"""``down``: every process of the stack ended, and checked."""

from __future__ import annotations

import time

import psutil
from rich.console import Console

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.changes import remove_file
from cxr_tasks.stack.marked_processes import leftovers, stop_processes
from cxr_tasks.stack.supervision import Supervision, socket_path

#: Programs have up to 15 s to stop before supervisord kills them.
STOP_TIMEOUT_S = 25


def down(console: Console) -> None:
    """Stop the stack and say how many processes were stopped; also fine when nothing runs."""
    settings = StackSettings.load()
    with console.status("stopping the stack"):
        n_stopped = sweep(settings)
    if n_stopped:
        console.print(f"stopped {n_stopped} processes of {settings.home}; none is left")
    else:
        console.print(f"nothing was running for {settings.home}")


def sweep(settings: StackSettings) -> int:
    """Stop every process of the stack, in order where supervisord answers, and return how many there were.

    Airflow's tasks run in process groups of their own and outlive what started them, so all processes with the
    stack's mark are looked up before and after.

    Raises:
        ServiceUnavailable: A process is still there after it was killed (it hangs in the operating system).
    """
    before = leftovers(settings.home)
    supervision = Supervision(settings)
    if supervision.answers():
        _stop_in_order(supervision)
    alive = stop_processes(leftovers(settings.home), patience_s=5)
    if alive:
        raise ServiceUnavailable(
            f"processes {[process.pid for process in alive]} do not end even when killed; "
            "see 'ps -fp <pid>', then 'make down' again"
        )
    remove_file(settings.record)
    remove_file(socket_path(settings))
    return len(before)


def _stop_in_order(supervision: Supervision) -> None:
    daemon = psutil.Process(supervision.pid())
    supervision.stop_all()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline:
        if all(state.pid == 0 for state in supervision.states().values()):
            break
        time.sleep(0.1)
    supervision.shutdown()
    psutil.wait_procs([daemon], timeout=STOP_TIMEOUT_S)
