"""The data set as it is published: its tables and lists, written for a test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from cxr_tasks.contracts.specs import DatasetSpec

#: As published in 2017: brackets with commas in them, a comma at the end.
HEADER_2017 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)


SIZES = "2682,2749,0.143,0.143"
ROWS = (
    f"00000001_000.png,Cardiomegaly,0,1,57,M,PA,{SIZES}",
    f"00000001_001.png,Cardiomegaly|Effusion,1,1,58,M,AP,{SIZES}",
    f"00000002_000.png,No Finding,0,2,80,F,PA,{SIZES}",
    f"00000003_000.png,Hernia|Infiltration,0,3,74,F,PA,{SIZES}",
)


NAMES = tuple(row.split(",")[0] for row in ROWS)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
BOX_ROWS = (
    "00000001_000.png,Cardiomegaly,100.5,200,300,400.25",
    "00000003_000.png,Infiltrate,10,20,30,40,,,",
    "00000003_000.png,Infiltrate,500,20,30,40,,,",
)


def row(name: str = "00000009_000.png", labels: str = "Mass", **cells: str) -> str:
    """A row of the label table; ``cells`` replace follow_up, patient, age, sex or view."""
    values = {"follow_up": "0", "patient": str(int(name[:8])), "age": "50", "sex": "F", "view": "PA"} | cells
    return ",".join((name, labels, *values.values(), SIZES))


def with_options(spec: DatasetSpec, **options: object) -> DatasetSpec:
    return dataclasses.replace(spec, options=options)


def hundred(write_nih: Callable[..., Path], *, n_absent: int) -> Path:
    names = [f"{patient:08d}_000.png" for patient in range(1, 101)]
    files = [f"images/{name}" for name in names[n_absent:]]
    rows = [row(name) for name in names]
    return write_nih(rows, boxes=None, train_val=names[:50], test=names[50:], files=files)
