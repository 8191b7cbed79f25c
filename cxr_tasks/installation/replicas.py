"""The model servers of this installation, each by an address of its own.

A release asks every one of them: a label may move only when all have loaded the version.
"""

from __future__ import annotations

import socket

from cxr_tasks.installation.settings import StackSettings


def model_addresses(settings: StackSettings) -> tuple[str, ...]:
    """IPv4 addresses of all model servers, each once, those of the first host first.

    The name of a service of several containers stands for all that run. A host whose name stands for nothing is given
    as it is, so that who asks it says that it does not answer.
    """
    addresses: list[str] = []
    for host in settings.engines.model_hosts:
        try:
            told = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
            addresses += sorted(str(answer[4][0]) for answer in told)
        except OSError:
            addresses.append(host)
    return tuple(dict.fromkeys(addresses))
