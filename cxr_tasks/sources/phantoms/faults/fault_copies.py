"""Faults between images: copies under other names, and patients in two splits."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from cxr_tasks.sources.phantoms.faults.planting import Ground, Planted, encoded
from cxr_tasks.sources.phantoms.layouts import layout_chexpert, layout_dicom, layout_nih
from cxr_tasks.sources.phantoms.layouts.files import PhantomFile


def plant_duplicates(ground: Ground, n: int) -> list[Planted]:
    """Pictures of patients in train, once more under the names of patients in test."""
    records = []
    for original, copy in zip(ground.take(n), ground.take(n, split="test"), strict=True):
        if copy.dicom is None:
            shutil.copyfile(ground.path(original), ground.path(copy))
        else:
            ground.write_pixels(copy, ground.pixels(original))
        records.append(Planted(fault="duplicate_across_splits", image_id=copy.image_id, twin=original.image_id))
    return records


def plant_near_duplicates(ground: Ground, n: int) -> list[Planted]:
    """Such copies, a little brighter and compressed once more."""
    records = []
    for original, copy in zip(ground.take(n), ground.take(n, split="test"), strict=True):
        brighter = np.clip(ground.pixels(original).astype(np.int16) + 6, 0, 255).astype(np.uint8)
        lossy = encoded(Image.fromarray(brighter), "JPEG", quality=70)
        if copy.image_id.endswith((".jpg", ".jpeg")):
            ground.path(copy).write_bytes(lossy)
        else:
            aside = ground.path(copy).with_suffix(".aside")
            aside.write_bytes(lossy)
            with Image.open(aside) as picture:
                ground.write_pixels(copy, np.asarray(picture))
            aside.unlink()
        records.append(Planted(fault="near_duplicate", image_id=copy.image_id, twin=original.image_id))
    return records


def plant_conflicting_twins(ground: Ground, n: int) -> list[Planted]:
    """Pictures of well patients in train, once more under the names of ill ones: the labels differ."""
    records = []
    ill = ground.take(n, is_well=False, where=lambda file: bool(file.request.findings or file.request.pneumonia))
    for original, copy in zip(ground.take(n), ill, strict=True):
        if copy.dicom is None:
            shutil.copyfile(ground.path(original), ground.path(copy))
        else:
            ground.write_pixels(copy, ground.pixels(original), form=replace(copy.dicom, compression="none"))
        records.append(Planted(fault="conflicting_twins", image_id=copy.image_id, twin=original.image_id))
    return records


def plant_patient_across_splits(ground: Ground, n: int) -> list[Planted]:
    """Patients of the held-out split of whom one image is in train."""
    records = []

    def others(file: PhantomFile) -> list[PhantomFile]:
        same = ground.files_of(ground.patient_of(file))
        return [one for one in same if one is not file and not one.request.is_lateral]

    for file in ground.take(n, split="test", where=lambda one: bool(others(one))):
        other = others(file)[0]
        image_id = _MOVES[ground.layout](ground, file)
        records.append(Planted(fault="patient_across_splits", image_id=image_id, twin=other.image_id))
    return records


def _move_kermany(ground: Ground, file: PhantomFile) -> str:
    return _moved(ground, file, "train/" + file.image_id.partition("/")[2])


def _move_nih(ground: Ground, file: PhantomFile) -> str:
    name = Path(file.image_id).name
    test, train = (ground.folder / layout_nih.SPLIT_LISTS[split] for split in ("test", "train"))
    test.write_text("".join(one for one in test.open() if one.strip() != name), encoding="utf-8")
    train.write_text(train.read_text(encoding="utf-8") + f"{name}\n", encoding="utf-8")
    return file.image_id


def _move_chexpert(ground: Ground, file: PhantomFile) -> str:
    image_id = "train/" + file.image_id.partition("/")[2]
    valid, train = (ground.folder / layout_chexpert.TABLES[split] for split in ("valid", "train"))
    lines = valid.read_text(encoding="utf-8").splitlines(keepends=True)
    listed = f"{ground.folder.name}/{file.image_id},"
    moved = next(line for line in lines if line.startswith(listed))
    valid.write_text("".join(line for line in lines if line is not moved), encoding="utf-8")
    with open(train, "a", encoding="utf-8") as stream:
        stream.write(f"{ground.folder.name}/{image_id}," + moved.removeprefix(listed))
    return _moved(ground, file, image_id)


def _move_dicom(ground: Ground, file: PhantomFile) -> str:
    ground.edit_rows(layout_dicom.LABEL_TABLE, file.image_id, lambda row: {**row, "split": "train"})
    return file.image_id


def _moved(ground: Ground, file: PhantomFile, image_id: str) -> str:
    (ground.folder / image_id).parent.mkdir(parents=True, exist_ok=True)
    ground.path(file).rename(ground.folder / image_id)
    return image_id


_MOVES = {"kermany": _move_kermany, "nih": _move_nih, "chexpert": _move_chexpert, "dicom": _move_dicom}
