"""The recipe and the run that a candidate of these tests is of."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.installation.storage.paths import RunPaths
from tests.gate.stage.evaluated import SPEC


@pytest.fixture
def recipe() -> Recipe:
    return dataclasses.replace(load_recipe("synthetic_binary"), evaluate=SPEC)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "run")
