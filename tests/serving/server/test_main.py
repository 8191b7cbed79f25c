"""The server as a process of its own: help, refusal, service on loopback, and its end by a signal."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from tests.waiting import PATIENCE_S, wait_until

pytestmark = [pytest.mark.serving]


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "serving.server", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_help_lists_every_flag_with_its_default():
    shown = run("--help")
    assert shown.returncode == 0
    for flag in ("--port=8500", "--model_config_file=''", "--file_system_poll_wait_seconds=1", "--host='127.0.0.1'"):
        assert flag in shown.stdout


def test_value_of_the_wrong_type_is_named_and_the_flags_are_listed():
    refused = run("--port=many")
    assert refused.returncode == 255
    assert "--port: expected a value of type int, got 'many'" in refused.stderr
    assert "Flags:" in refused.stderr


def test_refused_configuration_ends_with_its_error_and_code_255(tmp_path):
    refused = run(f"--model_config_file={tmp_path}/none.config")
    assert refused.returncode == 255
    last = refused.stderr.strip().splitlines()[-1]
    assert last == f"Failed to start server. Error: NOT_FOUND: {tmp_path}/none.config; No such file or directory"


def test_sigterm_ends_a_serving_server_as_that_signal(golden, base, free_port, tmp_path):
    port, log = free_port(), tmp_path / "log"
    flags = [f"--port={port}", "--model_name=toy", f"--model_base_path={base}/models/toy", "--no_such_flag=1"]
    with log.open("w") as stream:
        server = subprocess.Popen([sys.executable, "-m", "serving.server", *flags], stderr=stream, env=os.environ)
    try:
        wait_until_open(port, server, log)
        with socket.socket() as probe:
            probe.bind(("", 0))
            outside = socket.gethostbyname(socket.gethostname())
            if not outside.startswith("127."):
                assert probe.connect_ex((outside, port)) != 0, "the port is open beyond loopback"
        server.terminate()
        assert server.wait(PATIENCE_S) == -signal.SIGTERM
    finally:
        server.kill()
    lines = log.read_text()
    assert re.search(r"^\S+ \S+ W main.py\] Unknown argument is ignored: --no_such_flag=1", lines, re.MULTILINE)
    assert re.search(
        r"^\S+ \S+ I manager.py\] Successfully loaded servable version {name: toy version: 3}", lines, re.M
    )
    assert "Traceback" not in lines


def wait_until_open(port: int, server: subprocess.Popen, log) -> None:
    def is_open() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(is_open, f"port {port} is open", of=server, tell=log.read_text, pause_s=0.2)
