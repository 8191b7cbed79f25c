"""Draw phantoms into a folder, with the tables of their layout, their boxes and the faults planted among them."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import numpy as np

from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.processes import map_in_processes
from cxr_tasks.installation.progress_lines import with_progress
from cxr_tasks.installation.storage.files import write_json
from cxr_tasks.sources.phantoms.faults.faults import FAULTS, checked_faults, plant_faults
from cxr_tasks.sources.phantoms.faults.planting import Ground, Planted
from cxr_tasks.sources.phantoms.layouts.files import DrawnFile, draw_files
from cxr_tasks.sources.phantoms.layouts.layouts import LAYOUTS
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions

logger = logging.getLogger(__name__)

BOXES_FILE = "boxes.csv"
PLANTED_FILE = "planted.json"
BOX_COLUMNS = ("image_id", "finding", "x", "y", "width", "height")


def draw_phantoms(root: Path, options: SyntheticOptions) -> None:
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


def _planted_row(planted: Planted, options: SyntheticOptions) -> dict[str, str]:
    return {**plain(planted), "ends": FAULTS[planted.fault].end(options.layout)}


def _write_boxes(path: Path, ground: Ground, images: list[DrawnFile], planted: list[Planted]) -> None:
    """``boxes.csv``, without images that have gone or show something else by now; enlarged with their pictures."""
    changed = {one.image_id for one in planted if not FAULTS[one.fault].is_of_all}
    with open(path, "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(BOX_COLUMNS)
        for file, image in zip(ground.files, images, strict=True):
            if file.image_id in changed or not ground.path(file).exists():
                continue
            scale = ground.scales.get(file.image_id, 1)
            for box in image.boxes:
                finding, *edges = plain(box).values()
                table.writerow((file.image_id, finding, *(edge * scale for edge in edges)))
