"""What the model server is told to serve, and when it starts."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cxr_tasks.contracts.paths import PROJECT_ROOT
from cxr_tasks.stack.model_server import has_version, models_config_path, server_command, write_models_config
from cxr_tasks.stack.settings import StackSettings


@pytest.mark.parametrize(
    ("name", "is_version"),
    [
        ("1", True),
        ("00000008", True),  # 8
        ("v7", False),
        ("9.5", False),
        (".12.abc", False),  # a version being written
        ("tmp", False),
    ],
)  # fmt: skip
def test_numeric_folders_are_versions(tmp_path: Path, name: str, is_version: bool):
    (tmp_path / name).mkdir()
    assert has_version(tmp_path) is is_version


def test_numeric_file_is_no_version(tmp_path: Path):
    (tmp_path / "3").write_text("")
    assert not has_version(tmp_path)


def test_nothing_is_written_without_a_version(cxr_home: Path):
    (cxr_home / "served" / "cxr_binary").mkdir(parents=True)
    assert write_models_config() == ()
    assert not models_config_path().exists()


def test_only_models_with_a_version_are_listed(cxr_home: Path):
    (cxr_home / "served" / "cxr_multilabel" / "4").mkdir(parents=True)
    (cxr_home / "served" / "cxr_binary").mkdir()
    (cxr_home / "served" / "scratch" / "1").mkdir(parents=True)
    assert write_models_config() == ("cxr_multilabel",)
    assert models_config_path().read_text() == (
        "model_config_list {\n"
        f'  config {{ name: "cxr_multilabel" base_path: "{cxr_home / "served" / "cxr_multilabel"}" '
        'model_platform: "tensorflow" }\n'
        "}\n"
    )


def test_models_are_kept_when_all_versions_vanish(cxr_home: Path):
    """An empty list would make the running server unload what it has in memory."""
    version = cxr_home / "served" / "cxr_binary" / "1"
    version.mkdir(parents=True)
    write_models_config()
    before = models_config_path().read_text()
    version.rmdir()
    assert write_models_config() == ()
    assert models_config_path().read_text() == before


@pytest.mark.tf
def test_written_file_is_read_by_the_servers_own_format(cxr_home: Path):
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    for name in ("cxr_binary", "cxr_multilabel"):
        (cxr_home / "served" / name / "1").mkdir(parents=True)
    write_models_config()
    config = text_format.Parse(models_config_path().read_text(), model_server_config_pb2.ModelServerConfig())
    assert [(one.name, one.base_path) for one in config.model_config_list.config] == [
        (name, str(cxr_home / "served" / name)) for name in ("cxr_binary", "cxr_multilabel")
    ]


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
            [sys.executable, "-m", "cxr_tasks.stack.model_server"], stdout=stream, env=environment, cwd=tmp_path
        )
    try:
        deadline = time.monotonic() + 60
        while "waiting for the first" not in output.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert process.poll() is None
        (settings.home / "served" / "cxr_binary" / "1").mkdir(parents=True)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
    said = output.read_text()
    assert f"pid {process.pid}\n" in said
    assert "flag --rest_api_port=28501\n" in said
    assert f"flag --model_config_file={settings.home / 'stack' / 'models.config'}\n" in said
