"""Small folders in CheXpert's layout; nothing of the collection itself is in them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.labels import CHEXPERT_SPELLINGS

DETAILS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA")
SMALL = "CheXpert-v1.0-small"


def row(path: str, **cells: str) -> dict[str, str]:
    """A row of a table: a man of 61, AP, all findings blank; ``cells`` replace by column."""
    direction = "Lateral" if "lateral" in path else "Frontal"
    plain = {"Sex": "Male", "Age": "61", "Frontal/Lateral": direction, "AP/PA": "AP" if direction == "Frontal" else ""}
    return {"Path": f"{SMALL}/{path}", **plain, **dict.fromkeys(CHEXPERT_SPELLINGS, ""), **cells}


def default_train() -> list[dict[str, str]]:
    return [
        row("train/patient00001/study1/view1_frontal.jpg", Age="68", Sex="Female", **{"No Finding": "1.0"}),
        row("train/patient00002/study1/view1_frontal.jpg", **{"Edema": "-1.0", "Lung Opacity": "1.0", "AP/PA": "PA"}),
        row("train/patient00002/study2/view1_frontal.jpg", **{"Pleural Effusion": "0.0"}),
        row("train/patient00002/study2/view2_lateral.jpg", **{"Pleural Effusion": "0.0"}),
    ]


def default_valid() -> list[dict[str, str]]:
    negative = dict.fromkeys(CHEXPERT_SPELLINGS, "0.0")
    return [row("valid/patient64541/study1/view1_frontal.jpg", **(negative | {"Cardiomegaly": "1.0"}))]


@dataclass
class Chexpert:
    """What stands in the two tables of a copy; ``write`` puts it on disk, a file of one byte per image."""

    train: list[dict[str, str]] = field(default_factory=default_train)
    valid: list[dict[str, str]] = field(default_factory=default_valid)
    columns: Sequence[str] = (*DETAILS, *CHEXPERT_SPELLINGS)

    def write(self, root: Path, folder: str = SMALL, *, without: Sequence[str] = (), content: Any = b"x") -> Path:
        """Tables and images below ``root/folder``; ``without`` are images (as listed) that are not written.

        ``content`` is the bytes of every image, or a function of the listed path that gives them.
        """
        base = root / folder
        for table, rows in (("train.csv", self.train), ("valid.csv", self.valid)):
            write_table(base / table, self.columns, rows)
            for one in rows:
                listed = one["Path"].removeprefix(f"{SMALL}/")
                if listed not in without:
                    image = base / listed
                    image.parent.mkdir(parents=True, exist_ok=True)
                    image.write_bytes(content(listed) if callable(content) else content)
        return root


def write_table(path: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
