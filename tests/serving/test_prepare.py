"""A registered version exported and checked once, in a server process of its own. Real registry, real server."""

from __future__ import annotations

import json

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import RunPaths

pytestmark = [pytest.mark.tf, pytest.mark.serving, pytest.mark.mlflow]


@pytest.fixture
def registered(cxr_home, small_model, contract, tmp_path):
    from cxr_tasks.registry import tracking, version_files

    small_model.save(tmp_path / "model.keras")
    with tracking.open_run("cxr_binary", "made") as log:
        pass
    version = version_files.register(
        model_name="cxr_binary",
        run_id=log.run_id,
        model_path=tmp_path / "model.keras",
        contract=contract,
        tags={},
        work=tmp_path,
    )
    return RegisteredModel(model_name="cxr_binary", version=version, mlflow_run_id=log.run_id, alias="")


def test_a_version_is_exported_and_checked_once(registered, tmp_path, monkeypatch):
    from serving.check import check_process
    from serving.export.exports import find_export
    from serving.release import stage

    parity = stage.prepare_release(registered, RunPaths(tmp_path / "run"))
    told = json.loads(verified_path(parity).read_text())
    assert told["largest_difference"] <= 1e-3
    assert told["latency"]["former_version"] is None
    # The dataset of this version was never prepared, so nothing could be held against its test images.
    assert told["precision"]["precision"] == "float32"
    assert told["precision"]["why"]
    export = find_export(registered)
    assert told["export_sha256"] == export.record.sha256
    assert (export.saved_model / "saved_model.pb").is_file()

    def no_server(*_):
        raise AssertionError("started a server for what was done")

    monkeypatch.setattr(check_process, "check_process", no_server)
    assert stage.prepare_release(registered, RunPaths(tmp_path / "another_run")) == parity


def test_a_wrong_setting_is_named_before_anything_starts(cxr_home, monkeypatch, tmp_path):
    from serving.release.stage import prepare_release

    monkeypatch.setenv("CXR_MAX_LATENCY_RATIO", "0.5")
    never_asked = RegisteredModel(model_name="cxr_binary", version=1, mlflow_run_id="a" * 32, alias="")
    with pytest.raises(ConfigurationError, match=r"CXR_MAX_LATENCY_RATIO=0\.5: expected a number of at least 1"):
        prepare_release(never_asked, RunPaths(tmp_path))
