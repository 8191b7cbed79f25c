"""How many connections there may be: each is an open file, and the models need some as well."""

from __future__ import annotations

import resource

#: Files that are not connections: logs, models, libraries.
RESERVED = 256
#: At least so many connections, however low the limit of open files.
FEWEST = 16


def connections_within_limit(wanted: int) -> int:
    """``wanted``, or how many connections each of two ports may hold under the limit of open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(FEWEST, (soft - RESERVED) // 2))


def raise_limit(n_connections: int) -> None:
    """As many open files as twice ``n_connections`` need, or as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * n_connections + RESERVED
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
