"""The flags of the model server, and when it starts."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.stack.servers.model_server import server_command
from tests.waiting import wait_until


def test_both_servers_get_the_same_flags(settings: StackSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    embedded = server_command(settings)
    installed = tmp_path / "tensorflow_model_server"
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    real = server_command(settings)
    assert embedded[:3] == [sys.executable, "-m", "serving.server"]
    assert real[0] == str(installed)
    assert embedded[3:] == real[1:]
    assert f"--port={settings.grpc_port}" in real
    assert f"--rest_api_port={settings.rest_port}" in real
    assert "--model_config_file_poll_wait_seconds=1" in real
    # The real server does not start with a label in its list otherwise.
    assert "--allow_version_labels_for_unavailable_models=true" in real


def test_waits_for_a_first_version_then_becomes_the_server(settings: StackSettings, tmp_path: Path):
    """A stand-in on PATH prints its flags: the real server cannot be installed from the package registries."""
    binary = tmp_path / "bin" / "tensorflow_model_server"
    binary.parent.mkdir()
    binary.write_text('#!/bin/sh\necho "pid $$"\nfor flag in "$@"; do echo "flag $flag"; done\n')
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    environment = {**os.environ, "PATH": f"{binary.parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"CXR_DAGS": str(settings.dags), "CXR_REST_PORT": "28501", "PYTHONPATH": str(PROJECT_ROOT)}
    output = tmp_path / "out"
    with open(output, "w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "cxr_tasks.stack.servers.model_server"], stdout=stream, env=environment, cwd=tmp_path
        )
    try:
        wait_until(lambda: "waiting for the first" in output.read_text(), "it waits", of=process)
        (settings.home / "served" / "cxr_binary" / "1").mkdir(parents=True)
        assert process.wait(timeout=300) == 0
    finally:
        process.kill()
        process.wait()
    said = output.read_text()
    assert f"pid {process.pid}\n" in said
    assert "flag --rest_api_port=28501\n" in said
    assert f"flag --model_config_file={settings.home / 'stack' / 'models.config'}\n" in said
