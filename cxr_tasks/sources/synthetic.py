"""Seeded phantom X-rays as files on disk in the Kermany layout, with the boxes of their findings in ``boxes.csv``."""

from __future__ import annotations

import csv
import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from cxr_tasks.contracts.artifacts import published_folder, sha256_json, write_json
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.paths import home
from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources import phantoms
from cxr_tasks.sources._pool import map_in_processes
from cxr_tasks.sources._progress import with_progress
from cxr_tasks.sources.base import Box, SourceScan
from cxr_tasks.sources.kermany import scan_layout
from cxr_tasks.sources.phantoms.opacities import Kind
from cxr_tasks.sources.phantoms.render import PhantomRequest, render

logger = logging.getLogger(__name__)

BOXES_FILE = "boxes.csv"
SETTINGS_FILE = "synthetic.json"
_BOX_COLUMNS = ("image_id", "finding", "x", "y", "width", "height")

#: Shares as in the original: 1 NORMAL to 2.7 PNEUMONIA, two thirds of these bacterial, a val folder too small for use.
PNEUMONIA_SHARE = 2.7 / 3.7
BACTERIA_SHARE = 0.65
FOLDER_SHARES = {"test": 0.20, "val": 0.02}


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticOptions:
    """``dataset.options`` of a recipe with this source."""

    n_images: int = 1200
    seed: int = 20261123
    size_px: int = 256
    """Nominal side; sides and aspect ratio vary around it, whatever an image shows."""

    def __post_init__(self) -> None:
        for name, low, high in (("n_images", 30, 1_000_000), ("seed", 0, 2**63 - 1), ("size_px", 96, 1024)):
            if not low <= getattr(self, name) <= high:
                raise ConfigurationError(f"{name}: expected {low} to {high}, found {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomFile:
    """One file to draw: its place below the root, and what it shows."""

    image_id: str
    request: PhantomRequest
    is_rgb: bool
    quality: int


class SyntheticSource:
    """Draws the phantoms once per set of options; reads them as it would real files."""

    name = "synthetic"

    def own_root(self, spec: DatasetSpec) -> Path:
        """``home()/synthetic/<fingerprint>``, drawn if it is not there: whole or absent, never half."""
        options = _options(spec)
        root = home() / "synthetic" / fingerprint(options)[:16]
        if not root.is_dir():
            with published_folder(root) as aside:
                write_phantoms(aside, options)
        return root

    def scan(self, root: Path, spec: DatasetSpec) -> SourceScan:
        """The images with their boxes; see ``Source.scan``."""
        _options(spec)
        scan = scan_layout(root, spec, side_files=(BOXES_FILE, SETTINGS_FILE))
        boxes = _read_boxes(scan.root / BOXES_FILE)
        unknown = boxes.keys() - {record.image_id for record in scan.records}
        if unknown:
            raise DataDefect(f"{scan.root / BOXES_FILE}: {len(unknown)} images are not in the folders: {min(unknown)}")
        records = tuple(replace(record, boxes=tuple(boxes.get(record.image_id, ()))) for record in scan.records)
        return replace(scan, records=records)


def fingerprint(options: SyntheticOptions) -> str:
    """sha256 (hex) over the options and the code that draws: other code draws other images."""
    code = hashlib.sha256()
    for path in [Path(__file__), *sorted(Path(phantoms.__file__).parent.glob("*.py"))]:
        code.update(path.read_bytes())
    return sha256_json({"options": plain(options), "code": code.hexdigest()})


def write_phantoms(root: Path, options: SyntheticOptions) -> None:
    """Draw ``options.n_images`` files below ``root``, on all cores, with ``boxes.csv`` beside them."""
    files = plan_files(options)
    for folder in sorted({(root / file.image_id).parent for file in files}):
        folder.mkdir(parents=True, exist_ok=True)
    work = ((str(root), file) for file in files)
    drawn = map_in_processes(_draw_files, work)
    with open(root / BOXES_FILE, "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(_BOX_COLUMNS)
        progress = with_progress(drawn, n_items=len(files), what="phantoms drawn", logger=logger)
        for file, boxes in zip(files, progress, strict=True):
            table.writerows((file.image_id, "pneumonia", *box) for box in boxes)
    write_json(root / SETTINGS_FILE, {"options": plain(options), "fingerprint": fingerprint(options)})


def plan_files(options: SyntheticOptions) -> list[PhantomFile]:
    """Which files there will be: patients of one to three images, each patient in one class and one folder."""
    rng = np.random.default_rng([options.seed, 0])
    n_pneumonia = round(options.n_images * PNEUMONIA_SHARE)
    files: list[PhantomFile] = []
    first_patient = 1
    for n_images, is_pneumonia in ((options.n_images - n_pneumonia, False), (n_pneumonia, True)):
        patients = _images_per_patient(n_images, rng)
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
                        image_id=f"{folder}/{'PNEUMONIA' if is_pneumonia else 'NORMAL'}/{name}",
                        request=request,
                        is_rgb=bool(rng.random() < 0.04),
                        quality=int(rng.integers(82, 95)),
                    )
                )
            first_patient += 1
    return files


def _images_per_patient(n_images: int, rng: np.random.Generator) -> list[int]:
    counts: list[int] = []
    left = n_images
    while left:
        counts.append(min(left, int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))))
        left -= counts[-1]
    return counts


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


def _draw_files(work: list[tuple[str, PhantomFile]]) -> list[tuple[tuple[int, int, int, int], ...]]:
    boxes = []
    for root, file in work:
        phantom = render(file.request)
        picture = Image.fromarray(phantom.pixels)
        if file.is_rgb:
            picture = picture.convert("RGB")
        picture.save(Path(root) / file.image_id, format="JPEG", quality=file.quality)
        boxes.append(phantom.boxes)
    return boxes


def _options(spec: DatasetSpec) -> SyntheticOptions:
    return build(SyntheticOptions, spec.options, f"dataset {spec.name!r}: options")


def _read_boxes(path: Path) -> dict[str, list[Box]]:
    if not path.is_file():
        raise DataDefect(f"{path}: expected the boxes of the phantoms, found no file; draw them again")
    boxes: defaultdict[str, list[Box]] = defaultdict(list)
    with open(path, newline="", encoding="utf-8") as stream:
        for image_id, box in _box_rows(path, csv.DictReader(stream)):
            boxes[image_id].append(box)
    return boxes


def _box_rows(path: Path, table: csv.DictReader[str]) -> Iterator[tuple[str, Box]]:
    if tuple(table.fieldnames or ()) != _BOX_COLUMNS:
        raise DataDefect(f"{path}: expected the columns {', '.join(_BOX_COLUMNS)}, found {table.fieldnames}")
    for row in table:
        try:
            x, y, width, height = (float(row[name]) for name in _BOX_COLUMNS[2:])
        except (TypeError, ValueError):
            raise DataDefect(f"{path}, line {table.line_num}: expected four numbers, found {row}") from None
        yield row["image_id"], Box(finding=row["finding"], x=x, y=y, width=width, height=height)


SOURCE = SyntheticSource()
