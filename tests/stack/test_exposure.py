"""Ports that others than this machine reach, and a real model server, which has no other way."""

from __future__ import annotations

import dataclasses
import os
import socket
from pathlib import Path

import pytest

from cxr_tasks.cli.doctor.serving import exposure_findings
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.stack.ports import reachable_from_outside
from cxr_tasks.stack.servers.model_server import warnings_of_real_server


@pytest.fixture
def real_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    binary = tmp_path / "bin" / "tensorflow_model_server"
    binary.parent.mkdir()
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(binary.parent))
    return binary


@pytest.mark.parametrize(
    ("family", "address", "is_open"),
    [
        (socket.AF_INET, "127.0.0.1", False),
        (socket.AF_INET, "0.0.0.0", True),
        (socket.AF_INET6, "::1", False),
        (socket.AF_INET6, "::", True),
    ],
)
def test_port_open_beyond_loopback_is_found(settings: StackSettings, family, address, is_open):
    try:
        listener = socket.socket(family)
        listener.bind((address, 0))
    except OSError:
        pytest.skip(f"this machine has no address {address}")
    with listener:
        listener.listen()
        port = listener.getsockname()[1]
        mine = dataclasses.replace(settings, rest_port=port)
        assert reachable_from_outside(mine) == ({port: address} if is_open else {})
        warned = [one for one in exposure_findings(mine) if f"port {port} is open beyond" in one.text]
        assert [one.level for one in warned] == (["WARN"] if is_open else [])


def test_real_server_is_told_to_answer_on_every_interface(settings: StackSettings, real_server: Path):
    warnings = warnings_of_real_server(settings, {})
    assert len(warnings) == 1
    assert f"{real_server} has no flag for an address" in warnings[0]
    assert f"ports {settings.grpc_port} and {settings.rest_port} of every interface" in warnings[0]
    assert [one.level for one in exposure_findings(settings) if "no flag for an address" in one.text] == ["WARN"]


def test_recording_that_a_real_server_cannot_do_is_told(settings: StackSettings, real_server: Path):
    assert any(
        "CXR_REQUEST_LOG=0.5 records nothing" in one
        for one in warnings_of_real_server(settings, {"CXR_REQUEST_LOG": "0.5"})
    )


def test_embedded_server_needs_no_warning(settings: StackSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert warnings_of_real_server(settings, {**os.environ, "CXR_REQUEST_LOG": "0.5"}) == []


def test_server_of_a_check_opens_no_port(tmp_path: Path, real_server: Path):
    from serving.check.server_process import configured_server

    real_server.write_text('#!/bin/sh\necho "$@"\nexec sleep 60\n')
    os.environ["PATH"] += f"{os.pathsep}/bin{os.pathsep}/usr/bin"
    log = tmp_path / "log"
    with configured_server(tmp_path / "config", log) as server:
        assert server.address.startswith("unix:/")
        folder = Path(server.address.removeprefix("unix:")).parent
        assert folder.stat().st_mode & 0o077 == 0
        while "--grpc_socket_path" not in log.read_text():
            server.require_alive()
        assert f"--port=0 --grpc_socket_path={folder}/grpc" in log.read_text()
        assert "rest_api_port" not in log.read_text()
    assert not folder.exists()
