"""What a person is told when a command stops following runs that go on without it."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType

from cxr_tasks.cli.console import PlainConsole
from cxr_tasks.cli.following.followed_run import Progress
from cxr_tasks.contracts.errors import ServiceUnavailable


@contextlib.contextmanager
def says_what_goes_on(followed: Sequence[Progress], airflow_page: str) -> Iterator[None]:
    """Say, when the block gives up (Ctrl-C, a request to end, no answer), that the runs go on and how to follow them.

    ``followed`` may grow while the block runs.
    """

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    # By default a request to end, such as that of the command 'timeout', ends the process without a word.
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except (KeyboardInterrupt, SystemExit, ServiceUnavailable):
        console = PlainConsole(stderr=True)
        for progress in followed:
            if progress.ended_after_s is None:
                console.print(_goes_on(progress, airflow_page), style="yellow", soft_wrap=True)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _goes_on(progress: Progress, airflow_page: str) -> str:
    first, newest = next(iter(progress.runs.values())), list(progress.runs.values())[-1]
    again = f"cxr follow {first.run_id}"
    if progress.approve is not None:
        again += f" --approve {shlex.quote(progress.approve)}"
    page = f"{airflow_page}/dags/{newest.dag_id}/runs/{newest.run_id}"
    asked = f"; a person is asked at {progress.question}" if progress.question else ""
    return f"{progress.model}: {newest.dag_id} goes on in Airflow, {page}{asked}\n  to follow it again: {again}"
