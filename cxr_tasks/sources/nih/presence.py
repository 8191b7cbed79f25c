"""Listed images that are not where they should be: when a scan goes on without them, and what it says when not."""

from __future__ import annotations

from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.nih.files import folders_holding
from cxr_tasks.sources.nih.reading import Reading
from cxr_tasks.sources.reading.defects import shown


def too_many(reading: Reading, reason: str, absent_bound: float) -> bool:
    """Whether more than this share of the listed images, or all of them, are refused for ``reason``."""
    count = reading.n_of(reason)
    return count > absent_bound * reading.n_listed or count == reading.n_listed


def check_found_once(reading: Reading, absent_bound: float) -> None:
    """``DataDefect`` where folders outside the published layout hold the images several times: which is meant?"""
    if not too_many(reading, "found_twice", absent_bound):
        return
    names = {Path(refusal.image_id).name for refusal in reading.refusals if refusal.reason == "found_twice"}
    held = folders_holding(reading.files.root, reading.files.looked_in[1:], names)
    raise DataDefect(
        f"{reading.table}: {reading.n_of('found_twice')} of {reading.n_listed} listed images lie in several places "
        f"below {reading.files.root}: {', '.join(held[:12])}. Keep the images in one of them, or call its folder images"
    )


def check_absent(reading: Reading, absent_bound: float, given: Path) -> None:
    """``DataDefect`` where too many images are absent; it names folders that hold such and were not looked into."""
    if not too_many(reading, "absent", absent_bound):
        return
    files, n_listed = reading.files, reading.n_listed
    absent = [refusal.image_id for refusal in reading.refusals if refusal.reason == "absent"]
    beside = [path.name for path in sorted(given.iterdir()) if path.is_dir() and path != files.root]
    unseen = folders_holding(files.root, files.other_folders, absent)
    if given != files.root:
        unseen += folders_holding(given, [name for name in beside if not (given / name).is_symlink()], absent)
    where = f"; not looked into, and hold files of these names: {', '.join(unseen[:12])}" if unseen else ""
    remedy = (
        "If these are the images, move their folder beside the label table and call it images"
        if unseen
        else "Bring the images, or raise dataset.options.absent_bound to work with a part of them"
    )
    raise DataDefect(
        f"{reading.table}: {len(absent)} of {n_listed} listed images are absent ({len(absent) / n_listed:.1%}, at most "
        f"{absent_bound:.1%} expected), the first: {', '.join(map(shown, absent[:5]))}; {files.where}{where}. "
        f"{remedy}"
    )
