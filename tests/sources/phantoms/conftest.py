"""Small synthetic data sets, one per layout, drawn once for all tests; a test that changes one takes a copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.installation.storage.files import read_json
from cxr_tasks.sources.base import SourceScan
from cxr_tasks.sources.phantoms.faults.faults import FAULTS
from cxr_tasks.sources.phantoms.layouts.files import PhantomFile
from cxr_tasks.sources.phantoms.layouts.layouts import LAYOUTS
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions
from cxr_tasks.sources.synthetic import SOURCE, write_phantoms

VOCABULARY = {"kermany": "pneumonia", "nih": "nih14", "chexpert": "chexpert14", "dicom": "nih14"}
#: Smallest that ingest still takes, and enough patients for one of each fault.
SMALL: dict[str, Any] = {"n_images": 110, "size_px": 96, "seed": 11}


@dataclass(frozen=True, slots=True)
class Drawn:
    root: Path
    options: SyntheticOptions
    files: list[PhantomFile]
    planted: list[dict[str, str]]

    @property
    def folder(self) -> Path:
        return self.root / LAYOUTS[self.options.layout].folder(self.options)

    @property
    def by_id(self) -> dict[str, PhantomFile]:
        return {file.image_id: file for file in self.files}

    def scan(self, **layout_options: Any) -> SourceScan:
        options = {
            **SMALL,
            "layout": self.options.layout,
            "variants": self.options.variants,
            "faults": self.options.faults,
        }
        return SOURCE.scan(
            self.root,
            DatasetSpec(
                name="small",
                source="synthetic",
                vocabulary=VOCABULARY[self.options.layout],
                options={**options, "layout_options": layout_options},
            ),
        )


@pytest.fixture(scope="session")
def draw(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Drawn]:
    """``draw(layout, faults, *variants)``: the small data set of that layout; the same for the same arguments."""
    known: dict[str, Drawn] = {}

    def make(layout: str, faults: dict[str, Any] | None = None, *variants: str) -> Drawn:
        key = f"{layout} {faults} {variants}"
        if key not in known:
            options = SyntheticOptions(**SMALL, layout=layout, faults=faults or {}, variants=variants)
            root = tmp_path_factory.mktemp(layout)
            write_phantoms(root, options)
            known[key] = Drawn(root, options, LAYOUTS[layout].plan(options), read_json(root / "planted.json"))
        return known[key]

    return make


@pytest.fixture(scope="session")
def draw_faulty(draw: Callable[..., Drawn]) -> Callable[[str], Drawn]:
    """``draw_faulty(layout)``: with one of every fault of the layout that lets it be read at all."""

    def make(layout: str) -> Drawn:
        return draw(
            layout,
            {
                name: 1
                for name, one in FAULTS.items()
                if layout in one.layouts and not one.end(layout).startswith("error")
            },
        )

    return make
