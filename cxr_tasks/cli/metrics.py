"""``cxr metrics``: what the platform tells of itself, as a page for Prometheus, once or by a small server."""

from __future__ import annotations

import argparse
import sys

from cxr_tasks.contracts.errors import ConfigurationError


def add_metrics_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen", metavar="[HOST:]PORT",
        help="serve them under /metrics until stopped (host: 127.0.0.1); without it they are printed once, for a "
        "collector of text files",
    )  # fmt: skip


def metrics_command(options: argparse.Namespace) -> int:
    from cxr_tasks.metrics.platform import platform_metrics
    from cxr_tasks.metrics.samples import text_of
    from cxr_tasks.metrics.serve import Page, metrics_server

    if options.listen is None:
        sys.stdout.write(text_of(platform_metrics()))
        return 0
    host, _, port = options.listen.rpartition(":")
    if not (port.isdecimal() and int(port) < 65536):
        raise ConfigurationError(f"--listen {options.listen}: expected [HOST:]PORT, for example 9109")
    try:
        server = metrics_server(host or "127.0.0.1", int(port), Page(lambda: text_of(platform_metrics())))
    except OSError as error:
        raise ConfigurationError(f"--listen {options.listen}: {error.strerror}; take another port") from None
    print(f"http://{host or '127.0.0.1'}:{server.server_port}/metrics", flush=True)
    with server:
        server.serve_forever()
    return 0
