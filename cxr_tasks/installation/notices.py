"""Tell people by mail, chat or webhook: addresses of Apprise in ``$CXR_NOTIFY``.

A message holds names of models, DAGs and tasks, counts and reasons; never a row of data: image ids can hold patient
numbers.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
from collections.abc import Iterator, Sequence

logger = logging.getLogger(__name__)

#: Environment variable with the addresses, separated by spaces; they hold passwords and are never logged.
ADDRESSES = "CXR_NOTIFY"


def send(title: str, body: str) -> int:
    """Send a message to every address of ``$CXR_NOTIFY``; to how many it was delivered.

    An address that cannot be understood or reached is a warning in the log, by its place in the list: what is told
    stands in a log anyway. Without any address the log says once how to set one.
    """
    addresses = os.environ.get(ADDRESSES, "").split()
    if not addresses:
        _say_how()
        return 0
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


@functools.cache
def _say_how() -> None:
    logger.info(
        "nobody is notified: set %s to addresses of Apprise, such as 'mailto://user:password@host' or "
        "'json://host/path', separated by spaces",
        ADDRESSES,
    )


def _deliver(address: str, place: str, title: str, body: str) -> bool:
    import apprise

    kind = scheme.group(0) if (scheme := re.match(r"[a-z0-9]{1,20}(?=://)", address)) else "unknown kind"
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
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
