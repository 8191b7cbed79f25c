"""Phantoms in the layout of Kermany et al.: ``train|val|test/NORMAL|PNEUMONIA``, patients in the file names.

Copies go about without ``val`` (variant ``no_val``), or as the two class folders alone (``unsplit``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cxr_tasks.sources.phantoms.drawing.cohort import images_per_patient
from cxr_tasks.sources.phantoms.drawing.opacities import Kind
from cxr_tasks.sources.phantoms.drawing.render import PhantomRequest
from cxr_tasks.sources.phantoms.layouts.files import DrawnFile, PhantomFile
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions

#: The layout's folder below the source's own.
DATA_FOLDER = "."
#: Shares as in the original: 1 NORMAL to 2.7 PNEUMONIA, two thirds of these bacterial, a val folder too small for use.
PNEUMONIA_SHARE = 2.7 / 3.7
BACTERIA_SHARE = 0.65
FOLDER_SHARES = {"test": 0.20, "val": 0.02}


def plan(options: SyntheticOptions) -> list[PhantomFile]:
    """Which files there will be: patients of one to three images, each patient in one class and one folder."""
    rng = np.random.default_rng([options.seed, 0])
    n_pneumonia = round(options.n_images * PNEUMONIA_SHARE)
    files: list[PhantomFile] = []
    first_patient = 1
    for n_images, is_pneumonia in ((options.n_images - n_pneumonia, False), (n_pneumonia, True)):
        patients = images_per_patient(n_images, rng, [1, 2, 3], [0.6, 0.25, 0.15])
        folders = _folders(len(patients), rng)
        for number, (count, folder) in enumerate(zip(patients, folders, strict=True), start=1):
            kind: Kind | None = None
            if is_pneumonia:
                kind = "bacteria" if rng.random() < BACTERIA_SHARE else "virus"
            requests = (
                PhantomRequest(
                    seed=options.seed, patient=first_patient, image=i, size_px=options.size_px, pneumonia=kind
                )
                for i in range(count)
            )
            for request in requests:
                name = _file_name(kind, number, request.image, running=len(files) + 1)
                files.append(
                    PhantomFile(
                        image_id=f"{_place(folder, options)}{'PNEUMONIA' if is_pneumonia else 'NORMAL'}/{name}",
                        request=request,
                        mode="RGB" if rng.random() < 0.04 else "L",
                        quality=int(rng.integers(82, 95)),
                    )
                )
            first_patient += 1
    return files


def _place(folder: str, options: SyntheticOptions) -> str:
    """What stands before the class folder: the split's folder, but for the variants that have none of it."""
    if "unsplit" in options.variants:
        return ""
    return "train/" if folder == "val" and "no_val" in options.variants else f"{folder}/"


def write_tables(folder: Path, files: list[PhantomFile], drawn: list[DrawnFile], options: SyntheticOptions) -> None:
    """Nothing: folders and file names are the labels."""


def _folders(n_patients: int, rng: np.random.Generator) -> list[str]:
    """A folder per patient; by exact shares, so that both classes are in every folder."""
    folders = [folder for folder, share in FOLDER_SHARES.items() for _ in range(max(1, round(share * n_patients)))]
    folders += ["train"] * (n_patients - len(folders))
    return [str(folder) for folder in rng.permutation(folders)]


def _file_name(kind: Kind | None, patient: int, image: int, *, running: int) -> str:
    if kind is not None:
        return f"person{patient}_{kind}_{running}.jpeg"
    prefix = "NORMAL2-" if patient % 3 == 0 else ""
    return f"{prefix}IM-{patient:04d}-{image + 1:04d}.jpeg"
