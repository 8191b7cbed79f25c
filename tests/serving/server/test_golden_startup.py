"""The recorded start-ups of a real server: which flags serve, which wait, and which are refused with what text."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from serving.server.flags import parse_flags
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.serving, pytest.mark.tf]

REFUSAL = "Failed to start server. Error: "

# Not start-ups but ends and printed texts: test_main.py plays help and SIGTERM in a process of its own (help ends with
# 0 in ours, 255 in the real one); SIGINT takes the same way as SIGTERM; ours has another version to print.
IN_A_PROCESS = {"version", "help", "running server gets SIGTERM", "running server gets SIGINT"}

# case -> what ours does instead.
OTHERWISE: dict[str, dict[str, Any]] = {
    # Ours also takes the value from the next word.
    "flag and value apart": {"outcome": "ready", "grpc_port_open": True, "rest_port_open": True},
    # The real one crashes.
    "max_batch_size 0": {
        "last_lines": [
            f"{REFUSAL}UNKNOWN: 1 servable(s) did not become available: {{{{{{name: toy version: 3}} due to error: "
            "INVALID_ARGUMENT: max_batch_size must be at least 1; was 0}, }"
        ]
    },
}


def cases(golden) -> list[dict[str, Any]]:
    return json.loads((golden / "startup.json").read_text())


@pytest.mark.parametrize("outcome", ["ready", "exit", "waiting"])
def test_recorded_start_ups_go_alike(golden, base, free_port, outcome):
    mine = [one | OTHERWISE.get(one["case"], {}) for one in cases(golden) if one["case"] not in IN_A_PROCESS]
    mine = [one for one in mine if one["outcome"] == outcome]
    assert mine
    found = [f"{record['case']}: {why}" for record in mine if (why := play(record, base, free_port))]
    assert not found, "\n".join(found)


def test_every_recorded_start_up_is_replayed(golden):
    names = {one["case"] for one in cases(golden)}
    assert IN_A_PROCESS | set(OTHERWISE) <= names
    assert {one["outcome"] for one in cases(golden)} == {"ready", "exit", "waiting"}


def play(record: dict[str, Any], base, free_port) -> str:
    from serving.server.server import ModelServer
    from serving.server.status import StatusError

    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = free_port()
        words = {"$BASE": str(base), "$PORT": str(port), "$USED": str(used.getsockname()[1])}
        flags = [f"--port={port}", f"--rest_api_port={free_port()}", "--shutdown_grace_seconds=0"]
        flags += [filled(flag, words) for flag in record["flags"]]
        try:
            options = parse_flags(flags).options
        except ConfigurationError as error:
            return "" if record["case"] == "flag with bad value" else f"refused: {error}"
        server = ModelServer(options)
        if record["outcome"] == "waiting":
            return waits(server)
        try:
            server.start()
        except StatusError as error:
            said = f"{REFUSAL}{error}".replace(str(base), "$BASE")
            expected = "\n".join(record["last_lines"])
            return (
                "" if record["outcome"] == "exit" and expected.endswith(said) else f"{said!r} instead of {expected!r}"
            )
        else:
            opened = (
                is_open(options.port),
                options.rest_api_port != options.port and serves_http(options.rest_api_port),
            )
            wanted = (record["grpc_port_open"], record["rest_port_open"])
            if record["outcome"] != "ready":
                return f"started instead of {record['last_lines']}"
            return "" if opened == wanted else f"open ports {opened} instead of {wanted}"
        finally:
            server.stop()


def filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def waits(server) -> str:
    ended: list[str] = []

    def start() -> None:
        try:
            server.start()
        except Exception as error:
            ended.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    time.sleep(1.5)
    why = f"ended: {ended}" if not thread.is_alive() else "port open" if is_open(server.options.port) else ""
    server.stop()
    thread.join(PATIENCE_S)
    return why or ("stop did not end the waiting" if thread.is_alive() else "")


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serves_http(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)) != 0:
            return False
        probe.sendall(b"GET /v1 HTTP/1.0\r\n\r\n")
        try:
            return probe.recv(4) == b"HTTP"
        except TimeoutError:
            return False
