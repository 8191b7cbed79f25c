"""Seeded phantom X-rays as files on disk, in the layout of a real source that then reads them, with planted faults.

Below the source's own folder: the data (``phantoms.layouts`` says where), ``boxes.csv`` with what every sign changed,
``planted.json`` with every fault, and ``synthetic.json`` with the settings.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.installation.storage.files import published_folder, read_json, write_json
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.sources import phantoms
from cxr_tasks.sources.base import About, Box, ImageRecord, SourceScan, get_source
from cxr_tasks.sources.kermany.source import scan_layout
from cxr_tasks.sources.phantoms.faults.faults import checked_faults
from cxr_tasks.sources.phantoms.layouts.layouts import LAYOUTS
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions
from cxr_tasks.sources.phantoms.writing import BOX_COLUMNS, BOXES_FILE, PLANTED_FILE, draw_phantoms
from cxr_tasks.sources.reading.numbers import number
from cxr_tasks.sources.reading.tables import read_rows

logger = logging.getLogger(__name__)

SETTINGS_FILE = "synthetic.json"
#: What the code that draws is known by, and its ``drawing_code`` while that holds. Until the folders were laid out
#: anew, file names and imports counted too; what was drawn or learnt by then goes on under its name.
_KNOWN_AS = "d660a0a2f8b546aaca1de8b32911e13e2973b0be2b3c5281aaf8edb7b6a8e57f"
_WHILE = "4a8e9300f890b46650034412f11521b43925273b99d1bb779899b7fd789d3b72"


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
            if former := _drawn_before(root, options):
                logger.info(
                    "the code that draws has changed: drawn anew in %s; what it drew before is not used any more: %s",
                    root,
                    ", ".join(str(folder) for folder in former),
                )
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

    How the files are read (``layout_options``) is not part of it. Weights learnt from phantoms are kept by it too.
    """
    code = drawing_code()
    settings = {name: value for name, value in plain(options).items() if name != "layout_options"}
    return sha256_json({"options": settings, "code": _KNOWN_AS if code == _WHILE else code})


@functools.cache
def drawing_code() -> str:
    """sha256 (hex) of the code that draws, wherever its files lie: no imports, docstrings, comments or empty lines."""
    files = Path(phantoms.__file__).parent.rglob("*.py")
    return sha256_json(sorted(filter(None, (_statements(path.read_text(encoding="utf-8")) for path in files))))


def _statements(source: str) -> str:
    """The lines of ``source`` that do something."""
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant(value=str())):
                left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(source.splitlines(), start=1)
    return "\n".join(line for number, line in lines if number not in left_out and line.split("#")[0].strip())


def write_phantoms(root: Path, options: SyntheticOptions) -> None:
    """``draw_phantoms`` below ``root``, and the settings they were drawn by."""
    draw_phantoms(root, options)
    write_json(root / SETTINGS_FILE, {"options": plain(options), "fingerprint": fingerprint(options)})


def _drawn_before(root: Path, options: SyntheticOptions) -> list[Path]:
    """Folders beside ``root`` that hold images of the same options, drawn by other code."""
    folders = []
    for settings in sorted(root.parent.glob(f"[!.]*/{SETTINGS_FILE}")):
        with contextlib.suppress(DataDefect, AttributeError):  # nothing to tell of what cannot be read
            if read_json(settings).get("options") == plain(options):
                folders.append(settings.parent)
    return folders


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


def _read_boxes(path: Path) -> Mapping[str, list[Box]]:
    if not path.is_file():
        raise DataDefect(f"{path}: expected the boxes of the phantoms, found no file; draw them again")
    boxes: defaultdict[str, list[Box]] = defaultdict(list)
    for line, row in read_rows(path, BOX_COLUMNS):
        x, y, width, height = (number(path, line, row, name, low=0) for name in BOX_COLUMNS[2:])
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
