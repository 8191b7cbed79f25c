"""The stage on a table of the test's own."""

from __future__ import annotations

import pytest

from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.validate import validate_manifest
from tests.validate.manifests import RECIPE, ingested


@pytest.fixture
def run_folder(tmp_path, cxr_home):
    return RunPaths.for_run("cxr_dataset_binary", "r1")


@pytest.fixture
def validate(run_folder):
    """``validate(table)``: the stage on a manifest holding ``table``; the run's folder is ``validate.paths``."""

    def run(table, recipe=RECIPE):
        return validate_manifest(ingested(table, run_folder, recipe.dataset.name), recipe, run_folder)

    run.paths = run_folder
    return run
