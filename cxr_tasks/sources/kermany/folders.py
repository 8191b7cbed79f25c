"""Where the class folders of Kermany's layout lie: below ``train``, ``val`` and ``test``, or the two of them alone.

Folder names are read in any case and without spaces around them, and may lie deeper, as archives unpack:
``CellData/chest_xray``, ``chest-xray-pneumonia/chest_xray/chest_xray``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.sources.base import Refusal
from cxr_tasks.sources.reading.files import (
    as_text_name,
    describe_folder,
    entries_below,
    is_image_name,
    is_litter,
    is_text_name,
    litter_kind,
)
from cxr_tasks.sources.reading.words import SPLIT_WORDS

CLASS_FOLDERS = {"normal": LabelState.NEGATIVE, "pneumonia": LabelState.POSITIVE}
CLASS_NAMES = "NORMAL and PNEUMONIA"
LAYOUT = f"train, val and test, each with {CLASS_NAMES}"
#: How far below the folder given the data may lie: ZhangLabData/CellData/chest_xray, and one to spare.
DEEPEST = 4
#: Folders that are looked into for the data; a folder with more of them was not meant.
MOST_FOLDERS = 5000


@dataclass(frozen=True, slots=True)
class ClassFolder:
    """One folder of images, and what lying in it says."""

    folder: Path
    official_split: str
    state: LabelState


def layout_root(root: Path) -> Path:
    """``root``, or the nearest folder below it that has the layout; a copy in a deeper one is not looked for.

    Raises:
        DataDefect: There is none, or there are several equally near.
    """
    levels = _levels(root)
    for is_it in (_has_layout, _has_part_of_layout):
        for level in levels:
            roots = [folder for folder in level if is_it(folder) and (folder == root or not _is_of_layout(folder))]
            if len(roots) == 1:
                return roots[0]
            if roots:
                names = ", ".join(as_text_name(folder.relative_to(root).as_posix()) for folder in roots[:8])
                raise DataDefect(
                    f"{root}: expected one data set, found {len(roots)}: {names}; give one of them, or name them "
                    "train, val and test where they are the splits of one"
                )
    links = sorted(as_text_name(path.name) for path in root.iterdir() if path.is_symlink() and path.is_dir())
    linked = f"; linked folders are not entered: {', '.join(links[:8])}" if links else ""
    raise DataDefect(
        f"{root}: expected the folders {LAYOUT}, or {CLASS_NAMES} alone (also some folders deeper), "
        f"found {describe_folder(root)}{linked}"
    )


def _levels(root: Path) -> list[list[Path]]:
    """``root``, the folders in it, those in them, and so on; folders of the layout itself are not entered."""
    levels, n_folders = [[root]], 1
    while len(levels) <= DEEPEST and n_folders < MOST_FOLDERS:
        outer = [root] if len(levels) == 1 else [folder for folder in levels[-1] if not _is_of_layout(folder)]
        levels.append([below for folder in outer for below in own_folders(folder)])
        n_folders += len(levels[-1])
    return levels


def _is_of_layout(folder: Path) -> bool:
    return folder.name.strip().lower() in {*CLASS_FOLDERS, *SPLIT_WORDS}


def class_folders(root: Path) -> list[ClassFolder]:
    """The class folders below ``root`` in the order they are read; one that is missing is a ``DataDefect``.

    ``val`` and ``test`` may be absent: then there is no such official split.
    """
    splits = named_folders(root, SPLIT_WORDS)
    places = [(splits[name], split) for name, split in SPLIT_WORDS.items() if name in splits]
    folders, missing = [], []
    for parent, split in places or [(root, "")]:
        classes = {} if _is_link(parent, root) else named_folders(parent, CLASS_FOLDERS)
        for name, state in CLASS_FOLDERS.items():
            folder = classes.get(name, parent / name.upper())
            if name not in classes or folder.is_symlink():
                missing.append(f"{as_text_name(folder.relative_to(root).as_posix())}{_why_not(folder, root)}")
            folders.append(ClassFolder(folder, split, state))
    if places and "train" not in {split for _, split in places}:
        missing.insert(0, "train")
    if missing:
        layout = LAYOUT if places else CLASS_NAMES
        raise DataDefect(f"{root}: expected {layout}; missing: {', '.join(missing)}{_found_beside(folders, root)}")
    return folders


def named_folders(parent: Path, names: Collection[str]) -> dict[str, Path]:
    """Folders in ``parent`` by their names in small letters, of those ``names``; linked ones too.

    Raises:
        DataDefect: Two folders have one name but for capitals and spaces.
    """
    folders: dict[str, Path] = {}
    for path in sorted(parent.iterdir()):
        key = path.name.strip().lower()
        if key not in names or not (path.is_dir() or path.is_symlink()):
            continue
        if key in folders:
            raise DataDefect(
                f"{parent}: expected one folder {key.upper()}, found {folders[key].name!r} and {path.name!r}; "
                "put their files into one"
            )
        folders[key] = path
    return folders


def strangers(
    root: Path, folders: list[ClassFolder], side_files: tuple[str, ...]
) -> tuple[list[Refusal], Counter[str]]:
    """What stands beside the class folders: refusals of images that nothing labels, and what else is ignored.

    Images of a folder beside the two classes are of a third one: they are refused one by one (``other_class``), so
    that they are counted, and none of them is taken for NORMAL or PNEUMONIA.
    """
    refusals: list[Refusal] = []
    ignored: Counter[str] = Counter()
    known = {root, *(root / name for name in side_files)}
    known |= {folder.folder for folder in folders} | {folder.folder.parent for folder in folders}
    class_parents = {folder.folder.parent for folder in folders}
    for parent in sorted({root, *class_parents}):
        for entry in sorted(parent.iterdir()):
            place = as_text_name(entry.relative_to(root).as_posix())
            if entry in known:
                continue
            if is_litter(entry.name):
                ignored[litter_kind(entry.name)] += 1
            elif entry.is_dir() and not entry.is_symlink():
                images = [image for image in _images_below(entry, root) if not _is_copy(entry)]
                if parent in class_parents and images:
                    refusals += [_of_third_class(image, place) for image in images]
                else:
                    ignored[f"{place} (not in the layout)"] += 1
            elif is_image_name(entry.name) and not entry.is_symlink():
                refusals.append(_without_class(place))
            else:
                ignored[f"{place} (not in the layout)"] += 1
    return refusals, ignored


def third_classes(refusals: list[Refusal]) -> list[str]:
    """A note for the log per folder of a third class, with its images."""
    counts = Counter(
        refusal.detail.partition(" is neither")[0] for refusal in refusals if refusal.reason == "other_class"
    )
    return [
        f"{count} images of {folder}, a class beside {CLASS_NAMES}, are left out: they are neither of the two"
        for folder, count in sorted(counts.items())
    ]


def _of_third_class(image_id: str, folder: str) -> Refusal:
    return Refusal(
        image_id=image_id,
        reason="other_class",
        detail=f"folder {folder} is neither NORMAL nor PNEUMONIA",
        action="nothing, or move images that show one of the two into its folder",
    )


def _without_class(image_id: str) -> Refusal:
    return Refusal(
        image_id=image_id,
        reason="no_label",
        detail="expected images inside NORMAL or PNEUMONIA, found this image beside them",
        action="move the image into the folder of its class, or remove it",
    )


def _images_below(folder: Path, root: Path) -> Iterator[str]:
    for entry in entries_below(folder, Counter()):
        image_id = Path(entry.path).relative_to(root).as_posix()
        if is_image_name(entry.name):
            yield image_id if is_text_name(image_id) else as_text_name(image_id)


def _is_copy(folder: Path) -> bool:
    """Whether the data lie in ``folder`` again, as in the archive that Kaggle gives out."""
    return any(_has_layout(place) for place in (folder, *own_folders(folder)))


def _has_layout(folder: Path) -> bool:
    """Whether both classes are in ``folder``, or in its ``train``."""
    parents = (folder, *(path for path in own_folders(folder) if _is_train(path)))
    return any(set(CLASS_FOLDERS) <= {path.name.strip().lower() for path in own_folders(parent)} for parent in parents)


def _has_part_of_layout(folder: Path) -> bool:
    own = own_folders(folder)
    return any(map(_is_train, own)) or any(path.name.strip().lower() in CLASS_FOLDERS for path in own)


def _is_train(folder: Path) -> bool:
    return SPLIT_WORDS.get(folder.name.strip().lower()) == "train"


def own_folders(folder: Path) -> list[Path]:
    """Folders in ``folder``, sorted, without links, which may lead out of the data folder, and without litter."""
    return [path for path in _listed(folder) if path.is_dir() and not path.is_symlink() and not is_litter(path.name)]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except PermissionError:
        # A folder that may not be entered is not the data set; where there is no other, the message names it.
        return []


def _is_link(folder: Path, root: Path) -> bool:
    return folder != root and folder.is_symlink()


def _why_not(folder: Path, root: Path) -> str:
    return " (linked; links are not entered)" if _is_link(folder, root) or _is_link(folder.parent, root) else ""


def _found_beside(folders: list[ClassFolder], root: Path) -> str:
    """Other folders that stand where a class folder is missing: their names may be the classes in other words."""
    known = {folder.folder for folder in folders}
    parents = {folder.folder.parent for folder in folders if folder.folder.parent.is_dir()}
    others = sorted(
        as_text_name(below.relative_to(root).as_posix())
        for parent in parents
        if not _is_link(parent, root)
        for below in own_folders(parent)
        if below not in known and below.name.strip().lower() not in SPLIT_WORDS
    )
    return f"; found beside them: {', '.join(others[:8])}" if others else ""
