"""Phantoms in the layout of NIH ChestX-ray14: ``images/``, the 2017 tables, and the two lists of the official split.

Variants: the label table of 2020, ages such as ``060Y``, the archives unpacked into ``images_001/images`` and so on.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from cxr_tasks.contracts.labels import NIH_SPELLINGS
from cxr_tasks.sources.phantoms.drawing.cohort import draw_cohort
from cxr_tasks.sources.phantoms.layouts.files import DrawnFile, PhantomFile, request_for
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions

DATA_FOLDER = "CXR8"
ENTRY_TABLE, BOX_TABLE = "Data_Entry_2017.csv", "BBox_List_2017.csv"
ENTRY_TABLE_2020 = "Data_Entry_2017_v2020.csv"
#: Archives that the images come in.
N_FOLDERS = 12
SPLIT_LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
TEST_SHARE = 0.25
#: Width and height that boxes refer to.
BOX_FRAME_PX = 1024
#: The published headers hold commas inside brackets and are not quoted.
ENTRY_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
)
ENTRY_HEADER_2020 = ENTRY_HEADER.replace("Patient Gender", "Patient Sex")
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"

_SPELLING = {finding: spelling for spelling, finding in NIH_SPELLINGS.items()}
_BOX_SPELLING = {**_SPELLING, "infiltration": "Infiltrate"}


def plan(options: SyntheticOptions) -> list[PhantomFile]:
    """One PNG per visit, mostly grey, a few of the published kind that are RGBA."""
    rng = np.random.default_rng([options.seed, 0, 2])
    visits = draw_cohort(
        options.n_images,
        options.seed,
        findings=tuple(NIH_SPELLINGS.values()),
        splits={"train": 1 - TEST_SHARE, "test": TEST_SHARE},
    )
    return [
        PhantomFile(
            image_id=f"{_folder(i, len(visits), options)}/{visit.patient:08d}_{visit.number:03d}.png",
            request=request_for(visit, seed=options.seed, size_px=options.size_px, is_square=True),
            visit=visit,
            mode="RGBA" if rng.random() < 0.01 else "L",
        )
        for i, visit in enumerate(visits)
    ]


def _folder(i: int, n: int, options: SyntheticOptions) -> str:
    """Where the image ``i`` of ``n`` is: all in one folder, or each archive unpacked into one of its own."""
    return f"images_{i * N_FOLDERS // n + 1:03d}/images" if "many_folders" in options.variants else "images"


def entry_table(folder: Path) -> str:
    """Name of the label table that a data folder holds."""
    return ENTRY_TABLE_2020 if (folder / ENTRY_TABLE_2020).exists() else ENTRY_TABLE


def write_tables(folder: Path, files: list[PhantomFile], drawn: list[DrawnFile], options: SyntheticOptions) -> None:
    """``Data_Entry_2017.csv``, ``BBox_List_2017.csv`` and the split lists, as they are published."""
    rng = np.random.default_rng([options.seed, 0, 3])
    is_2020, has_unit = "table_2020" in options.variants, "ages_with_unit" in options.variants
    with (
        open(
            folder / (ENTRY_TABLE_2020 if is_2020 else ENTRY_TABLE), "w", newline="", encoding="utf-8"
        ) as entry_stream,
        open(folder / BOX_TABLE, "w", newline="", encoding="utf-8") as box_stream,
    ):
        entry_stream.write(ENTRY_HEADER_2020 if is_2020 else ENTRY_HEADER)
        box_stream.write(BOX_HEADER)
        entries = csv.writer(entry_stream, lineterminator="\n")
        boxes = csv.writer(box_stream, lineterminator="\n")
        for file, image in zip(files, drawn, strict=True):
            entries.writerow(_entry(file, has_unit, rng))
            boxes.writerows(_box_rows(file, image))
    for split, name in SPLIT_LISTS.items():
        listed = [Path(file.image_id).name for file in files if file.known_visit.split == split]
        (folder / name).write_text("".join(f"{one}\n" for one in listed), encoding="utf-8")


def _entry(file: PhantomFile, has_unit: bool, rng: np.random.Generator) -> tuple[object, ...]:
    visit = file.known_visit
    labels = [_SPELLING[finding] for finding in visit.states if visit.has(finding)]
    spacing = rng.choice(["0.143", "0.139", "0.168"])
    return (
        Path(file.image_id).name,
        "|".join(labels) or "No Finding",
        visit.number,
        visit.patient,
        f"{visit.age_years:03d}Y" if has_unit else visit.age_years,
        visit.sex[0].upper(),
        visit.view.upper(),
        int(rng.integers(2000, 3001)),
        int(rng.integers(2000, 3001)),
        spacing,
        spacing,
    )


def _box_rows(file: PhantomFile, image: DrawnFile) -> list[tuple[object, ...]]:
    across, down = BOX_FRAME_PX / image.width, BOX_FRAME_PX / image.height
    return [
        (
            Path(file.image_id).name,
            _BOX_SPELLING[box.finding],
            round(box.x * across, 6),
            round(box.y * down, 6),
            round(box.width * across, 6),
            round(box.height * down, 6),
        )
        for box in image.boxes
    ]
