"""Seeded phantom X-rays as files on disk, in the layout of a real source that then reads them, with planted faults.

Below the source's own folder: the data (``phantoms.layouts`` says where), ``boxes.csv`` with what every sign changed,
``planted.json`` with every fault, and ``synthetic.json`` with the settings.
"""

from __future__ import annotations

import csv
import hashlib
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.installation.processes import map_in_processes
from cxr_tasks.installation.progress_lines import with_progress
from cxr_tasks.installation.storage.files import published_folder, write_json
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.sources import phantoms
from cxr_tasks.sources.base import About, Box, ImageRecord, SourceScan, get_source
from cxr_tasks.sources.kermany.source import scan_layout
from cxr_tasks.sources.phantoms.faults.faults import FAULTS, checked_faults, plant_faults
from cxr_tasks.sources.phantoms.faults.planting import Ground, Planted
from cxr_tasks.sources.phantoms.layouts.files import DrawnFile, draw_files
from cxr_tasks.sources.phantoms.layouts.layouts import LAYOUTS
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions
from cxr_tasks.sources.reading.tables import number, read_rows

logger = logging.getLogger(__name__)

BOXES_FILE = "boxes.csv"
PLANTED_FILE = "planted.json"
SETTINGS_FILE = "synthetic.json"
_BOX_COLUMNS = ("image_id", "finding", "x", "y", "width", "height")


ABOUT = About(
    origin=("Drawn by this platform (source synthetic): no patient, no hospital."),
    terms=("No terms of others apply."),
    limits=(
        "The images are drawn by a program. The numbers show that the platform works; they say nothing about patients.",
    ),
    is_drawn=True,
)


class SyntheticSource:
    """Draws the phantoms once per set of options; reads them by the source whose layout they are in."""

    name = "synthetic"
    about = ABOUT

    def own_root(self, spec: DatasetSpec) -> Path:
        """``home()/synthetic/<fingerprint>``, drawn if it is not there: whole or absent, never half."""
        options = _options(spec)
        root = home() / "synthetic" / fingerprint(options)[:16]
        if not root.is_dir():
            with published_folder(root) as aside:
                write_phantoms(aside, options)
        return root

    def scan(self, root: Path, spec: DatasetSpec) -> SourceScan:
        """The images as the layout's source reads them, with the boxes of their findings; see ``Source.scan``."""
        options = _options(spec)
        if options.layout == "kermany":
            # Its data stand beside the source's own files.
            scan = scan_layout(root, spec, side_files=(BOXES_FILE, PLANTED_FILE, SETTINGS_FILE))
        else:
            read_as = replace(spec, source=options.layout, options=options.layout_options)
            scan = get_source(options.layout).scan(_data_folder(root, options), read_as)
        if LAYOUTS[options.layout].has_box_table:
            return scan
        boxes = _read_boxes(root / BOXES_FILE)
        _check_boxes(root / BOXES_FILE, scan, boxes)
        return replace(scan, records=[_with_boxes(record, boxes) for record in scan.records])


def fingerprint(options: SyntheticOptions) -> str:
    """sha256 (hex) over the options and the code that draws: other code draws other images.

    How the files are read (``layout_options``) is not part of it.
    """
    code = hashlib.sha256()
    for path in [Path(__file__), *sorted(Path(phantoms.__file__).parent.rglob("*.py"))]:
        code.update(path.read_bytes())
    settings = {name: value for name, value in plain(options).items() if name != "layout_options"}
    return sha256_json({"options": settings, "code": code.hexdigest()})


def write_phantoms(root: Path, options: SyntheticOptions) -> None:
    """Draw ``options.n_images`` files below ``root``, on all cores, with their tables, boxes and faults.

    Raises:
        ConfigurationError: A fault is not known, not one of the layout, or there are too few images for it.
    """
    checked_faults(options.faults, options.layout)
    layout = LAYOUTS[options.layout]
    files = layout.plan(options)
    folder = root / layout.folder(options)
    for parent in sorted({(folder / file.image_id).parent for file in files}):
        parent.mkdir(parents=True, exist_ok=True)
    drawn = map_in_processes(draw_files, ((str(folder), file) for file in files), n_items=len(files))
    images = list(with_progress(drawn, n_items=len(files), what="phantoms drawn", logger=logger))
    layout.write_tables(folder, files, images, options)
    ground = Ground(layout=options.layout, folder=folder, files=files, rng=np.random.default_rng([options.seed, 0, 8]))
    planted = plant_faults(ground, options.faults)
    _write_boxes(root / BOXES_FILE, ground, images, planted)
    write_json(root / PLANTED_FILE, [_planted_row(one, options) for one in planted])
    write_json(root / SETTINGS_FILE, {"options": plain(options), "fingerprint": fingerprint(options)})


def _options(spec: DatasetSpec) -> SyntheticOptions:
    options = build(SyntheticOptions, spec.options, f"dataset {spec.name!r}: options")
    checked_faults(options.faults, options.layout)
    return options


def _data_folder(root: Path, options: SyntheticOptions) -> Path:
    folder = root / LAYOUTS[options.layout].folder(options)
    if not folder.is_dir():
        raise DataDefect(
            f"{root}: expected phantoms in layout {options.layout!r}, in a folder {folder.name!r}; found none. Leave "
            "the data folder out to have them drawn"
        )
    return folder


def _planted_row(planted: Planted, options: SyntheticOptions) -> dict[str, str]:
    return {**plain(planted), "ends": FAULTS[planted.fault].end(options.layout)}


def _write_boxes(path: Path, ground: Ground, images: list[DrawnFile], planted: list[Planted]) -> None:
    """``boxes.csv``, without images that have gone or show something else by now; enlarged with their pictures."""
    changed = {one.image_id for one in planted if not FAULTS[one.fault].is_of_all}
    with open(path, "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(_BOX_COLUMNS)
        for file, image in zip(ground.files, images, strict=True):
            if file.image_id in changed or not ground.path(file).exists():
                continue
            scale = ground.scales.get(file.image_id, 1)
            for box in image.boxes:
                finding, *edges = plain(box).values()
                table.writerow((file.image_id, finding, *(edge * scale for edge in edges)))


def _read_boxes(path: Path) -> Mapping[str, list[Box]]:
    if not path.is_file():
        raise DataDefect(f"{path}: expected the boxes of the phantoms, found no file; draw them again")
    boxes: defaultdict[str, list[Box]] = defaultdict(list)
    for line, row in read_rows(path, _BOX_COLUMNS):
        x, y, width, height = (number(path, line, row, name, low=0) for name in _BOX_COLUMNS[2:])
        boxes[row["image_id"]].append(Box(finding=row["finding"], x=x, y=y, width=width, height=height))
    return boxes


def _check_boxes(path: Path, scan: SourceScan, boxes: Mapping[str, list[Box]]) -> None:
    """Boxes of images that are not there mean that the table belongs to other files."""
    known = {record.image_id for record in scan.records}
    unknown = sorted(name for name in boxes.keys() - known if not (scan.root / name).exists())
    if unknown:
        raise DataDefect(f"{path}: {len(unknown)} images are not in the folders: {unknown[0]}")


def _with_boxes(record: ImageRecord, boxes: Mapping[str, list[Box]]) -> ImageRecord:
    own = tuple(box for box in boxes.get(record.image_id, ()) if box.finding in record.states)
    return replace(record, boxes=own) if own else record


SOURCE = SyntheticSource()
