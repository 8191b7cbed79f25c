"""Phantoms in the layout of CheXpert: ``CheXpert-v1.0-small`` with ``train.csv`` and ``valid.csv``, as TFDS wants it.

The folder of the full size (variant ``full_size``) holds the same under another name.

A training label is what was read out of a report: present, absent, in doubt, or not mentioned. The validation labels
are radiologists', who left no blank.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cxr_tasks.contracts.labels import CHEXPERT_SPELLINGS, LabelState
from cxr_tasks.sources.phantoms.drawing.cohort import PREVALENCES, Visit, draw_cohort
from cxr_tasks.sources.phantoms.layouts.files import DrawnFile, PhantomFile, request_for
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions

DATA_FOLDER, FULL_SIZE_FOLDER = "CheXpert-v1.0-small", "CheXpert-v1.0"
TABLES = {"train": "train.csv", "valid": "valid.csv"}
VALID_SHARE = 0.20
#: Images in doubt per finding, as a share of its positives.
UNCERTAIN_SHARE = 0.3
#: Of the absent findings, how many a report mentions.
MENTIONED_SHARE = 0.35
LATERAL_SHARE = 0.08
#: Columns that follow from what is drawn: present where any of these is.
DERIVED: dict[str, tuple[str, ...]] = {
    "lung_opacity": ("edema", "consolidation", "pneumonia", "atelectasis", "infiltration", "mass", "nodule"),
    "lung_lesion": ("mass", "nodule"),
    "pleural_other": ("pleural_thickening",),
}
#: No report of CheXpert says that there is no finding in so many words: the column is 1 or blank in train.csv.
_NOTHING, _DEVICES = "no_finding", "support_devices"

_CODES = {
    LabelState.POSITIVE: "1.0",
    LabelState.NEGATIVE: "0.0",
    LabelState.UNCERTAIN: "-1.0",
    LabelState.UNMENTIONED: "",
}


def plan(options: SyntheticOptions) -> list[PhantomFile]:
    """One JPEG per visit: patients in ``train`` or ``valid``, a study per visit, some of them lateral."""
    rng = np.random.default_rng([options.seed, 0, 4])
    visits = draw_cohort(
        options.n_images,
        options.seed,
        findings=tuple(PREVALENCES),
        splits={"train": 1 - VALID_SHARE, "valid": VALID_SHARE},
        uncertain={"train": UNCERTAIN_SHARE},
    )
    files = []
    for visit in visits:
        is_lateral = bool(rng.random() < LATERAL_SHARE)
        direction = "lateral" if is_lateral else "frontal"
        files.append(
            PhantomFile(
                image_id=f"{visit.split}/patient{visit.patient:05d}/study{visit.number + 1}/view1_{direction}.jpg",
                request=request_for(
                    visit, seed=options.seed, size_px=options.size_px, is_square=False, is_lateral=is_lateral
                ),
                visit=visit,
                quality=int(rng.integers(82, 95)),
            )
        )
    return files


def write_tables(folder: Path, files: list[PhantomFile], drawn: list[DrawnFile], options: SyntheticOptions) -> None:
    """``train.csv`` with present, absent, in doubt and not mentioned; ``valid.csv`` with present and absent alone."""
    rng = np.random.default_rng([options.seed, 0, 5])
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_SPELLINGS]
    for split, name in TABLES.items():
        with open(folder / name, "w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(header)
            for file in files:
                if file.known_visit.split == split:
                    table.writerow(_row(folder.name, file, rng))


def chexpert_states(visit: Visit) -> Mapping[str, LabelState]:
    """Every column of CheXpert's tables, by finding, with all of them mentioned."""
    states = dict(visit.states)
    for finding, parts in DERIVED.items():
        found = [visit.states[part] for part in parts]
        states[finding] = next(
            (one for one in (LabelState.POSITIVE, LabelState.UNCERTAIN) if one in found), LabelState.NEGATIVE
        )
    columns = {finding: states[finding] for finding in CHEXPERT_SPELLINGS.values() if finding != _NOTHING}
    well = all(state is LabelState.NEGATIVE for finding, state in columns.items() if finding != _DEVICES)
    return {_NOTHING: LabelState.POSITIVE if well else LabelState.NEGATIVE, **columns}


def _row(collection: str, file: PhantomFile, rng: np.random.Generator) -> list[object]:
    visit = file.known_visit
    states = dict(chexpert_states(visit))
    if visit.split == "train":
        for finding, state in states.items():
            if state is LabelState.NEGATIVE and (finding == _NOTHING or rng.random() > MENTIONED_SHARE):
                states[finding] = LabelState.UNMENTIONED
    is_lateral = file.request.is_lateral
    return [
        f"{collection}/{file.image_id}",
        visit.sex.capitalize(),
        visit.age_years,
        "Lateral" if is_lateral else "Frontal",
        "" if is_lateral else visit.view.upper(),
        *(_CODES[states[finding]] for finding in CHEXPERT_SPELLINGS.values()),
    ]
