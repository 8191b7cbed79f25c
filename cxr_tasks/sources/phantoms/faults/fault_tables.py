"""Faults between images and tables: listed and not there, there and not listed, and cells that cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path

from cxr_tasks.sources.phantoms.faults.planting import Ground, Planted, planted
from cxr_tasks.sources.phantoms.layouts import layout_chexpert, layout_dicom, layout_nih
from cxr_tasks.sources.phantoms.layouts.files import PhantomFile

#: Ages nobody reaches; 414 stands in the first release of NIH's table.
IMPOSSIBLE_AGE = "414"
UNKNOWN_LABEL = "Pneumonitis"
#: Cell of a label that is not known, by layout: column, and what it then holds.
_UNKNOWN_CELLS = {
    "nih": ("Finding Labels", f"Effusion|{UNKNOWN_LABEL}"),
    "chexpert": ("Cardiomegaly", "2.0"),
    "dicom": ("cardiomegaly", "2"),
}
#: What is put before the listed path of an image, in turn: a way upwards, and the root of the system.
OUTSIDE = ("../", "/")


def _row_of(ground: Ground, file: PhantomFile) -> tuple[str, str]:
    """The table that lists an image, and what its row begins with."""
    if ground.layout == "nih":
        return layout_nih.entry_table(ground.folder), Path(file.image_id).name
    if ground.layout == "chexpert":
        return layout_chexpert.TABLES[file.known_visit.split], f"{ground.folder.name}/{file.image_id}"
    return layout_dicom.LABEL_TABLE, file.image_id


def plant_absent(ground: Ground, n: int) -> list[Planted]:
    """Images that the tables list and that are not on disk."""
    files = ground.take(n)
    for file in files:
        ground.path(file).unlink()
    return planted("absent", files)


def plant_unlisted(ground: Ground, n: int) -> list[Planted]:
    """Images on disk that no row of the tables lists: further images of a patient whose others are listed."""
    records = []
    for file in ground.take(n):
        image_id = _UNLISTED[ground.layout](file)
        (ground.folder / image_id).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ground.path(file), ground.folder / image_id)
        records.append(Planted(fault="unlisted", image_id=image_id))
    return records


_UNLISTED = {
    "nih": lambda file: f"{Path(file.image_id).parent}/{file.request.patient:08d}_999.png",
    "chexpert": lambda file: f"train/patient{file.request.patient:05d}/study99/view1_frontal.jpg",
    "dicom": lambda file: f"series{file.request.patient:05d}/9999.dcm",
}


def plant_unknown_label(ground: Ground, n: int) -> list[Planted]:
    """Labels in the tables that the data set does not know; the scan ends with file, line and label."""
    files = ground.take(n)
    column, cell = _UNKNOWN_CELLS[ground.layout]
    for file in files:
        ground.edit_rows(*_row_of(ground, file), lambda row: {**row, column: cell})
    return planted("unknown_label", files)


def plant_unknown_box_label(ground: Ground, n: int) -> list[Planted]:
    """Boxes of a finding that nobody knows; the scan ends with file, line and label."""
    files = ground.take(n)
    with open(ground.folder / layout_nih.BOX_TABLE, "a", encoding="utf-8") as stream:
        stream.writelines(f"{Path(file.image_id).name},{UNKNOWN_LABEL},9,9,90,90\n" for file in files)
    return planted("unknown_box_label", files)


def plant_path_outside(ground: Ground, n: int) -> list[Planted]:
    """One more row for an image, under a path that leads out of the data folder."""
    records = []
    for number, file in enumerate(ground.take(n)):
        table, key = _row_of(ground, file)
        listed = OUTSIDE[number % len(OUTSIDE)] + key
        ground.add_row(table, key, listed)
        records.append(Planted(fault="path_outside", image_id=listed))
    return records


def plant_bad_age(ground: Ground, n: int) -> list[Planted]:
    """Ages of 414 years, as NIH's first table has them."""
    files = ground.take(n)
    for file in files:
        ground.edit_rows(*_row_of(ground, file), lambda row: {**row, "Patient Age": IMPOSSIBLE_AGE})
    return planted("bad_age", files)
