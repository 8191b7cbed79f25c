"""A data folder of NIH for each test of its source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from cxr_tasks.contracts.specs import DatasetSpec
from tests.sources.nih.published import BOX_HEADER, BOX_ROWS, HEADER_2017, NAMES, ROWS


@pytest.fixture
def spec() -> DatasetSpec:
    return DatasetSpec(name="nih", source="nih", vocabulary="nih14", root_env="CXR_NIH_ROOT")


@pytest.fixture
def write_nih(tmp_path: Path) -> Callable[..., Path]:
    """``write_nih(...)``: a data folder with these tables, lists and (empty) files; ``None`` leaves one out."""

    def write(
        rows: Iterable[str] = ROWS,
        *,
        header: str = HEADER_2017,
        table: str = "Data_Entry_2017.csv",
        boxes: Iterable[str] | None = BOX_ROWS,
        box_header: str = BOX_HEADER,
        train_val: Iterable[str] | None = NAMES[:3],
        test: Iterable[str] | None = NAMES[3:],
        files: Iterable[str] = tuple(f"images/{name}" for name in NAMES),
        folder: str = "data",
    ) -> Path:
        root = tmp_path / folder
        root.mkdir(parents=True, exist_ok=True)
        texts = {
            table: (header, *rows),
            "BBox_List_2017.csv": None if boxes is None else (box_header, *boxes),
            "train_val_list.txt": train_val,
            "test_list.txt": test,
        }
        for name, lines in texts.items():
            if lines is not None:
                (root / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(b"x")
        return root

    return write
