"""What the model servers of this installation have loaded and labelled, and waiting for it to change.

Of several servers something is said when it is so of all of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from cxr_tasks.contracts.errors import ReleaseRefused, ServiceUnavailable
from cxr_tasks.installation.replicas import model_addresses
from cxr_tasks.installation.settings import StackSettings
from serving.client.answers import AVAILABLE, END, RequestRefused
from serving.client.client import CxrClient

#: The server reads its configuration every second and looks into folders every second.
OLD_REASON_S = 4.0
EVERY_S = 0.1


class CannotLoad(ReleaseRefused):
    """The server has tried a version and given it up."""


def served_versions(settings: StackSettings, model: str) -> list[int]:
    """Versions that answer now on every server, newest first; empty where one is not up or knows no such model."""
    with _asking_once(settings) as clients:
        served = [_served(client, model) for client in clients]
    return [version for version in served[0] if all(version in others for others in served)]


def labelled_version(settings: StackSettings, model: str, label: str) -> int | None:
    """The version that answers to ``label`` now on every server; None where none does, or they are not of one mind.

    The status call ignores labels, on the real server too; the metadata call tells.
    """
    with _asking_once(settings) as clients:
        labelled = {_labelled(client, model, label) for client in clients}
    return labelled.pop() if len(labelled) == 1 else None


def wait_available(settings: StackSettings, model: str, version: int, limit_s: float) -> float:
    """Seconds until ``version`` was AVAILABLE on every running server; as ``wait_loaded``."""
    start = time.monotonic()
    with _asking_once(settings) as clients:
        for client in clients:
            left_s = max(0.0, limit_s - (time.monotonic() - start))
            wait_loaded(client, model, version, left_s)
    return time.monotonic() - start


def wait_loaded(
    client: CxrClient,
    model: str,
    version: int,
    limit_s: float,
    *,
    old_reason_s: float = OLD_REASON_S,
    require_alive: Callable[[], None] = lambda: None,
) -> float:
    """Seconds until ``version`` was AVAILABLE at the server of ``client``.

    Args:
        old_reason_s: How long the reason of an earlier try may stay listed: until the server has looked into the
            folder again. 0 for a server that was just started.
        require_alive: May end the waiting early by raising.

    Raises:
        ServiceUnavailable: It was not within ``limit_s``; the last state and the server's reason are named.
        CannotLoad: The server has tried it and given it up.
    """
    start = time.monotonic()

    def look() -> str:
        require_alive()
        try:
            states = client.versions(model)
        except (RequestRefused, ServiceUnavailable) as error:
            return str(error)
        mine = next((state for state in states if state.version == version), None)
        if mine is None:
            return "no such version"
        if mine.state == END and mine.reason and time.monotonic() - start >= old_reason_s:
            raise CannotLoad(f"{model} version {version}: the model server cannot load it: {mine.reason}")
        return "" if mine.state == AVAILABLE else f"{mine.state} {mine.reason}".strip()

    return _wait(client.address, look, f"{model} version {version} to be AVAILABLE", limit_s)


def wait_labelled(settings: StackSettings, model: str, label: str, version: int | None, limit_s: float) -> float:
    """Seconds until ``version`` answered to ``label``, None for no version at all; ``ServiceUnavailable`` if not."""
    start = time.monotonic()
    with _asking_once(settings) as clients:
        for client in clients:

            def look(client: CxrClient = client) -> str:
                served = _labelled(client, model, label)
                return "" if served == version else f"version {served}"

            left_s = max(0.0, limit_s - (time.monotonic() - start))
            _wait(client.address, look, f"{model} version {version} at label {label!r}", left_s)
    return time.monotonic() - start


def wait_unloaded(settings: StackSettings, model: str, version: int, limit_s: float) -> float:
    """Seconds until ``version`` answered no more; ``ServiceUnavailable`` where it still does after ``limit_s``."""
    start = time.monotonic()
    with _asking_once(settings) as clients:
        for client in clients:

            def look(client: CxrClient = client) -> str:
                return "it loaded" if version in _served(client, model) else ""

            left_s = max(0.0, limit_s - (time.monotonic() - start))
            _wait(client.address, look, f"{model} version {version} to be unloaded", left_s)
    return time.monotonic() - start


@contextlib.contextmanager
def _asking_once(settings: StackSettings) -> Iterator[list[CxrClient]]:
    """A client for each server; one that is not there is an answer to them, as they look again and again."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(CxrClient(f"http://{address}:{settings.rest_port}", patience_s=0))
            for address in model_addresses(settings)
        ]


def _served(client: CxrClient, model: str) -> list[int]:
    with contextlib.suppress(RequestRefused, ServiceUnavailable):
        return sorted(
            (version.version for version in client.versions(model) if version.state == AVAILABLE), reverse=True
        )
    return []


def _labelled(client: CxrClient, model: str, label: str) -> int | None:
    with contextlib.suppress(RequestRefused, ServiceUnavailable):
        return client.version_at(model, label)
    return None


def _wait(address: str, look: Callable[[], str], expected: str, limit_s: float) -> float:
    """Seconds until ``look`` had nothing to object any more."""
    start = time.monotonic()
    while seen := look():
        if time.monotonic() - start >= limit_s:
            raise ServiceUnavailable(
                f"model server at {address}: expected {expected} within {limit_s:.0f} s, found {seen}"
            )
        time.sleep(EVERY_S)
    return time.monotonic() - start
