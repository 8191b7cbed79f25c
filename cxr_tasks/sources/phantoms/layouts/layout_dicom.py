"""Phantoms as a tree of DICOM files with ``labels.csv``: patient, study, view, sex and age stand in the files alone."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from cxr_tasks.contracts.labels import VOCABULARIES, LabelState
from cxr_tasks.sources.phantoms.drawing.cohort import draw_cohort
from cxr_tasks.sources.phantoms.layouts.dicom_compression import Compression
from cxr_tasks.sources.phantoms.layouts.dicom_form import DicomForm
from cxr_tasks.sources.phantoms.layouts.files import DrawnFile, PhantomFile, request_for
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions

DATA_FOLDER = "dicom"
LABEL_TABLE = "labels.csv"
FINDINGS = VOCABULARIES["nih14"]
TEST_SHARE = 0.25
UNCERTAIN_SHARE = 0.15
#: Of the absent findings, how many a reader did not tick either way.
UNMENTIONED_SHARE = 0.02
MONOCHROME1_SHARE = 0.3
RLE_SHARE = 0.3
#: Variants in which every file is compressed so.
COMPRESSIONS: tuple[Compression, ...] = ("jpeg2000", "jpeg_lossless")

_CODES = {
    LabelState.POSITIVE: "1",
    LabelState.NEGATIVE: "0",
    LabelState.UNCERTAIN: "-1",
    LabelState.UNMENTIONED: "",
}


def plan(options: SyntheticOptions) -> list[PhantomFile]:
    """One DX file per visit, in a folder per patient whose name says nothing of the ids inside."""
    rng = np.random.default_rng([options.seed, 0, 6])
    visits = draw_cohort(
        options.n_images,
        options.seed,
        findings=FINDINGS,
        splits={"train": 1 - TEST_SHARE, "test": TEST_SHARE},
        uncertain={"train": UNCERTAIN_SHARE},
    )
    whole_set = next((one for one in COMPRESSIONS if one in options.variants), None)
    return [
        PhantomFile(
            image_id=f"series{visit.patient:05d}/{visit.number + 1:04d}.dcm",
            request=request_for(visit, seed=options.seed, size_px=options.size_px, is_square=False),
            visit=visit,
            dicom=DicomForm(
                patient=f"PHANTOM-{options.seed % 10_000:04d}-{visit.patient:05d}",
                study=f"{options.seed} {visit.patient} {visit.number}",
                sex="male" if visit.sex == "male" else "female",
                age_years=visit.age_years,
                view="ap" if visit.view == "ap" else "pa",
                is_monochrome1=bool(rng.random() < MONOCHROME1_SHARE),
                compression=_compression(rng, whole_set),
            ),
        )
        for visit in visits
    ]


def _compression(rng: np.random.Generator, whole_set: Compression | None) -> Compression:
    is_rle = bool(rng.random() < RLE_SHARE)  # drawn in any case: a variant changes nothing else
    return whole_set or ("rle" if is_rle else "none")


def write_tables(folder: Path, files: list[PhantomFile], drawn: list[DrawnFile], options: SyntheticOptions) -> None:
    """``labels.csv``: path, split, and a column per finding with 1, 0, -1 or nothing."""
    rng = np.random.default_rng([options.seed, 0, 7])
    with open(folder / LABEL_TABLE, "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["path", "split", *FINDINGS])
        for file in files:
            visit = file.known_visit
            codes = []
            for finding in FINDINGS:
                state = visit.states[finding]
                is_blank = visit.split == "train" and state is LabelState.NEGATIVE and rng.random() < UNMENTIONED_SHARE
                codes.append(_CODES[LabelState.UNMENTIONED if is_blank else state])
            table.writerow([file.image_id, visit.split, *codes])
