from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from cxr_tasks.cli.main import build_parser, main
from cxr_tasks.cli.trigger import request_conf
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation import accelerators
from cxr_tasks.registry.audit import trail
from cxr_tasks.train.weights import starting_weights


@pytest.mark.parametrize(
    "command", ["trigger", "predict", "promote", "models", "evaluate", "rollback", "canary", "compare"]
)
def test_each_command_shows_an_example_and_has_json(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"example: cxr {command}" in shown
    assert "--json" in shown


def test_a_foreseen_error_is_one_line_and_exit_code_1(cxr_home, capsys):
    assert main(["trigger", "kermany_cn"]) == 1
    assert capsys.readouterr().err.startswith("cxr: recipe 'kermany_cn' is not known; did you mean 'kermany_cnn'?")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_that_has_seen_enough_gets_no_traceback(cxr_home, form):
    """As in ``cxr history cxr_binary | head``: the reader is gone before the command has said all."""
    trail.record("served", model="cxr_binary", version=1, who="airflow")
    read, write = os.pipe()
    os.close(read)
    code = f"import sys; from cxr_tasks.cli.main import main; sys.exit(main(['history', 'cxr_binary', *{form}]))"
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_without_a_stack_the_command_says_what_to_do(cxr_home, capsys):
    assert main(["trigger", "synthetic_binary"]) == 1
    assert "start it with 'make up'" in capsys.readouterr().err


def test_a_request_is_checked_before_airflow_sees_it(tmp_path):
    assert request_conf("kermany_cnn", str(tmp_path), 3, 0.8) == {
        "recipe": "kermany_cnn",
        "data_folder": str(tmp_path.resolve()),
        "epochs": 3,
        "gate_floor": 0.8,
        "allow_cpu": False,
    }
    with pytest.raises(ConfigurationError, match="expected a folder with images"):
        request_conf("kermany_cnn", str(tmp_path / "none"), None, None)
    with pytest.raises(ConfigurationError, match="epochs: expected a value from 1"):
        request_conf("kermany_cnn", None, 0, None)


def test_weights_that_cannot_be_had_are_an_error_before_airflow_sees_the_request(cxr_home, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(starting_weights, "IMAGENET_URL", f"http://127.0.0.1:{port}/weights.h5")
    with pytest.raises(ConfigurationError, match="imagenet: expected .*cannot be downloaded from here"):
        request_conf("nih_densenet121", str(tmp_path), None, None, True)


def test_a_recipe_for_a_gpu_is_refused_where_there_is_none_until_it_is_allowed(cxr_home, monkeypatch):
    monkeypatch.setattr(accelerators, "gpu_devices", lambda root=None: [])
    with pytest.raises(
        ConfigurationError, match=r"made for a GPU: expected one, found none .* cxr trigger --allow-cpu"
    ):
        request_conf("nih_cnn", None, None, None)
    assert request_conf("nih_cnn", None, None, None, True)["allow_cpu"] is True
    asked = build_parser().parse_args(["trigger", "nih_cnn", "--allow-cpu"])
    assert asked.allow_cpu and not build_parser().parse_args(["trigger", "nih_cnn"]).allow_cpu


def test_a_command_is_required():
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([])
    assert ended.value.code == 2
