"""The X-rays that every benchmark reads: real ones where they are, else generated ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.sources.base import ImageRecord, get_source, resolve_root

RECIPE = "kermany_cnn"
SHARED_KERMANY = PROJECT_ROOT.parent / "shared" / "data" / "kermany"

#: Enough to measure by; of larger sets, or of sets of larger files, every so-manieth file is taken.
MOST_FILES = 1500
MOST_BYTES = 64 * 2**20
QUICK_FILES = 150


def lay_out(root: Path, *, is_quick: bool) -> str:
    """Copy X-rays to the new folder ``root``, in the Kermany layout, and say what they are.

    A copy, so that all files are of one disk and in the page cache for either side.
    """
    origin, source_root = _origin()
    files = [record.image_id for record in records_below(source_root)]
    n_bytes = sum((source_root / one).stat().st_size for one in files)
    most = QUICK_FILES if is_quick else MOST_FILES
    step = max(-(-len(files) // most), -(-n_bytes // MOST_BYTES))
    taken = files[::step]
    for image_id in taken:
        target = root / image_id
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source_root / image_id, target)
    return f"{len(taken)} of {len(files)} {origin}"


def records_below(root: Path) -> Sequence[ImageRecord]:
    """The images of a folder in the Kermany layout, in the order of their names."""
    return get_source("kermany").scan(root, load_recipe(RECIPE).dataset).records


def _origin() -> tuple[str, Path]:
    dataset = load_recipe(RECIPE).dataset
    if dataset.root_env and os.environ.get(dataset.root_env):
        return f"X-rays of ${dataset.root_env}", _layout(resolve_root(dataset, None))
    if SHARED_KERMANY.is_dir():
        return "real X-rays (Kermany et al.)", _layout(SHARED_KERMANY)
    return "synthetic X-rays", resolve_root(load_recipe("synthetic_binary").dataset, None)


def _layout(root: Path) -> Path:
    """The folder that image ids start from, which the archive puts below the one given."""
    return get_source("kermany").scan(root, load_recipe(RECIPE).dataset).root
