"""Tell people of warnings and failures by mail, chat or webhook: addresses of Apprise in ``$CXR_NOTIFY``.

A message holds counts and the sentences of expectations, never a row: image ids can hold patient numbers.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
from collections.abc import Iterator, Sequence

from cxr_tasks.validate.outcomes import Outcome, count_failed

logger = logging.getLogger(__name__)

#: Environment variable with the addresses, separated by spaces; they hold passwords and are never logged.
ADDRESSES = "CXR_NOTIFY"


def notify(subject: str, outcomes: Sequence[Outcome]) -> int:
    """Send the expectations not met to every address of ``$CXR_NOTIFY``; to how many it was delivered.

    An address that cannot be understood or reached is a warning in the log, by its place in the list: what was found
    in the data stands in the log anyway. Without any address the log says once how to set one.
    """
    addresses = os.environ.get(ADDRESSES, "").split()
    if not addresses:
        _say_how()
        return 0
    title, body = message(subject, outcomes)
    return sum(
        _deliver(address, f"{number} of {len(addresses)}", title, body)
        for number, address in enumerate(addresses, start=1)
    )


def not_understood(addresses: Sequence[str]) -> list[int]:
    """The places in the list, from 1, of addresses that name no service Apprise knows; nothing is sent."""
    if not addresses:
        return []
    import apprise

    with _quiet():
        return [
            place
            for place, address in enumerate(addresses, start=1)
            if apprise.Apprise.instantiate(address, suppress_exceptions=True) is None
        ]


def message(subject: str, outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """Title and text: how many expectations are not met, and the sentence of each with how many rows it is about."""
    n_critical, n_warnings = count_failed(outcomes, "critical"), count_failed(outcomes, "warning")
    verdict = "is stopped" if n_critical else "goes on"
    title = f"Chest X-ray data, {subject}: critical {n_critical}, warnings {n_warnings}"
    lines = [
        f"{subject}: of {len(outcomes)} expectations {n_critical + n_warnings} are not met "
        f"(critical {n_critical}, warnings {n_warnings}); the run {verdict}."
    ]
    for severity in ("critical", "warning"):
        for one in outcomes:
            if one.severity == severity and not one.success:
                rows = f" ({one.n_unexpected} rows of {one.table})" if one.n_unexpected else ""
                lines.append(f"- {severity}: {one.about or one.expectation}{rows}")
    lines.append("Rows and numbers: the task's log and the Data Docs linked on the task.")
    return title, "\n".join(lines)


@functools.cache
def _say_how() -> None:
    logger.info(
        "nobody is notified: set %s to addresses of Apprise, such as 'mailto://user:password@host' or "
        "'json://host/path', separated by spaces",
        ADDRESSES,
    )


def _deliver(address: str, place: str, title: str, body: str) -> bool:
    import apprise

    kind = found.group(0) if (found := re.match(r"[a-z0-9]{1,20}(?=://)", address)) else "unknown kind"
    with _quiet():
        service = apprise.Apprise.instantiate(address, suppress_exceptions=True)
        sender = apprise.Apprise()
        # Said to be text, it is escaped for services that show HTML or Markdown: names come from other people's data.
        is_delivered = (
            service is not None
            and sender.add(service)
            and bool(sender.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT))
        )
    if service is None:
        logger.warning("%s, address %s (%s) is not one that Apprise understands; nothing sent", ADDRESSES, place, kind)
    elif not is_delivered:
        logger.warning("%s, address %s (%s) did not take the notification", ADDRESSES, place, kind)
    return is_delivered


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the messages of the libraries that send: these quote addresses, and tokens stand in their paths."""
    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
