"""Very many small X-ray files in the layouts that archives have, for measuring memory: noise, all of it different."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from cxr_tasks.contracts.labels import CHEXPERT_SPELLINGS, NIH_SPELLINGS
from cxr_tasks.sources.phantoms.layouts import layout_chexpert, layout_nih

SIDE_PX = 64
#: Of the real sets: images of a patient, and the share that is official test (of CheXpert's valid.csv: 234 images).
IMAGES_EACH = 4
TEST_EVERY = 10
N_VALID = 200


def kermany(root: Path, n_files: int) -> None:
    """Different small JPEGs in the Kermany layout, a tenth of them official test, one patient each."""
    for split in ("train", "test"):
        for label in ("NORMAL", "PNEUMONIA"):
            (root / split / label).mkdir(parents=True)
    for number, grey in enumerate(_noise(n_files)):
        split = "test" if number % TEST_EVERY == 0 else "train"
        normal, pneumonia = f"NORMAL/IM-{number:06d}-0001.jpeg", f"PNEUMONIA/person{number}_virus_{number}.jpeg"
        _write_jpeg(root / split / (pneumonia if number % 3 else normal), grey)


def nih(root: Path, n_files: int) -> None:
    """Different small PNGs in folders of 10,000, with tables and lists; one in a hundred has a box."""
    rng = np.random.default_rng(2)
    labels = list(NIH_SPELLINGS)
    names: dict[str, list[str]] = {"train": [], "test": []}
    root.mkdir(parents=True)
    with (
        open(root / layout_nih.ENTRY_TABLE, "w", newline="", encoding="utf-8") as entry_stream,
        open(root / layout_nih.BOX_TABLE, "w", newline="", encoding="utf-8") as box_stream,
    ):
        entry_stream.write(layout_nih.ENTRY_HEADER)
        box_stream.write(layout_nih.BOX_HEADER)
        for number, grey in enumerate(_noise(n_files)):
            patient, follow_up = divmod(number, IMAGES_EACH)
            name = f"{patient:08d}_{follow_up:03d}.png"
            folder = root / f"images_{number // 10_000 + 1:03d}" / "images"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(grey[:, :, 0]).save(folder / name, compress_level=1)
            said = [labels[one] for one in np.flatnonzero(rng.random(len(labels)) < 0.06)]
            sex, view = "MF"[patient % 2], ("PA", "AP")[number % 2]
            label = "|".join(said) or "No Finding"
            entry_stream.write(
                f"{name},{label},{follow_up},{patient},{20 + patient % 70},{sex},{view},2500,2048,0.1,0.1\n"
            )
            if said and number % 100 == 0:
                box_stream.write(f"{name},{said[0].replace('Infiltration', 'Infiltrate')},100.5,200,300,400\n")
            names["train" if patient % TEST_EVERY else "test"].append(name)
    for split, list_name in layout_nih.SPLIT_LISTS.items():
        (root / list_name).write_text("".join(f"{one}\n" for one in names[split]), encoding="utf-8")


def chexpert(root: Path, n_files: int) -> None:
    """Different small JPEGs as ``CheXpert-v1.0-small``, in a folder per study, with both tables."""
    rng = np.random.default_rng(3)
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_SPELLINGS]
    codes = np.array(["1.0", "0.0", "-1.0", ""])
    tables: dict[str, list[list[object]]] = {"train": [], "valid": []}
    for number, grey in enumerate(_noise(n_files)):
        patient, study = divmod(number, IMAGES_EACH)
        split = "valid" if number < min(N_VALID, n_files // TEST_EVERY) else "train"
        image_id = f"{split}/patient{patient:05d}/study{study + 1}/view1_frontal.jpg"
        path = root / layout_chexpert.DATA_FOLDER / image_id
        path.parent.mkdir(parents=True)
        _write_jpeg(path, grey)
        said = rng.choice(codes, len(CHEXPERT_SPELLINGS), p=[0.15, 0.1, 0.05, 0.7])
        if split == "valid":
            said = np.where(said == "1.0", "1.0", "0.0")
        details = [("Male", "Female")[patient % 2], 20 + patient % 70, "Frontal", ("AP", "PA")[number % 2]]
        tables[split].append([f"{layout_chexpert.DATA_FOLDER}/{image_id}", *details, *said])
    for split, name in layout_chexpert.TABLES.items():
        with open(root / layout_chexpert.DATA_FOLDER / name, "w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows([header, *tables[split]])


#: layout -> what writes it, and a recipe that reads it
LAYOUTS: dict[str, tuple[Callable[[Path, int], None], str]] = {
    "kermany": (kermany, "kermany_cnn"),
    "nih": (nih, "nih_cnn"),
    "chexpert": (chexpert, "chexpert_cnn"),
}


def _noise(n_files: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(1)
    for _ in range(n_files):
        yield rng.integers(0, 256, (SIDE_PX, SIDE_PX, 1), dtype=np.uint8)


def _write_jpeg(path: Path, grey: np.ndarray) -> None:
    path.write_bytes(simplejpeg.encode_jpeg(grey, quality=40, colorspace="GRAY"))
