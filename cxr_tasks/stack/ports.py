"""Whether the stack's ports are free, who holds one that is not, and whether others than this machine reach them."""

from __future__ import annotations

import ipaddress
import socket

import psutil

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.installation.settings import HOST, PORT_VARIABLES, StackSettings


def is_free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen on ``port`` now; a connection still closing down does not count as busy."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """The process that listens on ``port``, as ``name (pid N)``; a reason where this user may not know."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "a process that this user may not see"
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
            if connection.pid is None:
                return "a process of another user"
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                return f"pid {connection.pid}, which has just ended"
    return "a process that this user may not see"


def require_free(settings: StackSettings) -> None:
    """``ServiceUnavailable`` that names every busy port, its holder and the variable that moves it."""
    busy = []
    for name, (variable, _) in PORT_VARIABLES.items():
        port = getattr(settings, name)
        if not is_free(port):
            free = port + 10000 if port < 50000 else port - 10000
            busy.append(f"port {port} is held by {holder(port)}; free it, or choose another, as {variable}={free}")
    if busy:
        raise ServiceUnavailable("\n".join(busy))


def reachable_from_outside(settings: StackSettings) -> dict[int, str]:
    """Ports of the stack that a program listens on beyond loopback -> the address that it listens on."""
    ports = {getattr(settings, name) for name in PORT_VARIABLES}
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return {}
    return {
        connection.laddr.port: connection.laddr.ip
        for connection in connections
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port in ports
        and not _is_loopback(connection.laddr.ip)
    }


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
