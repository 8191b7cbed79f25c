"""A busy port is named with its variable and its holder."""

from __future__ import annotations

import os
import socket

import pytest

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.stack.ports import holder, is_free, require_free


def test_free_ports_pass(settings: StackSettings):
    require_free(settings)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_busy_port_is_named_with_variable_and_process(settings: StackSettings, address: str):
    with socket.socket() as server:
        server.bind((address, settings.mlflow_port))
        server.listen()
        assert not is_free(settings.mlflow_port)
        assert f"(pid {os.getpid()})" in holder(settings.mlflow_port)
        with pytest.raises(ServiceUnavailable) as caught:
            require_free(settings)
    assert f"port {settings.mlflow_port} is held by" in str(caught.value)
    assert f"pid {os.getpid()}" in str(caught.value)
    assert "CXR_MLFLOW_PORT=" in str(caught.value)
    assert "CXR_AIRFLOW_PORT" not in str(caught.value)


def test_all_busy_ports_are_named_at_once(settings: StackSettings):
    with socket.socket() as first, socket.socket() as second:
        for server, port in ((first, settings.grpc_port), (second, settings.rest_port)):
            server.bind(("127.0.0.1", port))
            server.listen()
        with pytest.raises(ServiceUnavailable, match=r"(?s)CXR_GRPC_PORT=.*CXR_REST_PORT="):
            require_free(settings)


def test_port_is_free_again_right_after_a_connection_was_closed(settings: StackSettings):
    """The server's side of a closed connection lingers for a minute; a restart must not wait for it."""
    server = socket.create_server(("127.0.0.1", settings.rest_port))
    client = socket.create_connection(("127.0.0.1", settings.rest_port))
    accepted, _ = server.accept()
    accepted.close()
    client.close()
    server.close()
    assert is_free(settings.rest_port)
