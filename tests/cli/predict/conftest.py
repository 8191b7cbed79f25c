"""A server on the loopback interface that answers as a model server does, and a folder to ask it about."""

from __future__ import annotations

import pytest

from tests.serving.client.fake_server import GOOD, fake_server


@pytest.fixture
def server(cxr_home, monkeypatch):
    with fake_server() as fake:
        monkeypatch.setenv("CXR_GRPC_PORT", str(fake.grpc_port))
        monkeypatch.setenv("CXR_REST_PORT", str(fake.rest_port))
        yield fake


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.png").write_bytes(GOOD)
    (folder / "bad.jpeg").write_text("no image")
    (folder / "empty.png").write_bytes(b"")
    return folder
