"""Data folders with files that have names but no content: a scan opens none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from cxr_tasks.contracts.specs import DatasetSpec

PLAIN = (
    "train/NORMAL/IM-0001-0001.jpeg",
    "train/PNEUMONIA/person1_bacteria_1.jpeg",
    "val/NORMAL/NORMAL2-IM-0002-0001.jpeg",
    "val/PNEUMONIA/person2_virus_2.jpeg",
    "test/NORMAL/IM-0003-0001.jpeg",
    "test/PNEUMONIA/person3_virus_3.jpeg",
)


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """``make_folder(files)``: a folder with these files (default: one per split and class)."""

    def make(files: Iterable[str] = PLAIN, name: str = "data") -> Path:
        for file in files:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return tmp_path / name

    return make


@pytest.fixture
def plain_files() -> tuple[str, ...]:
    return PLAIN


@pytest.fixture
def kermany_spec() -> DatasetSpec:
    return DatasetSpec(name="kermany", source="kermany", vocabulary="pneumonia", root_env="CXR_KERMANY_ROOT")
