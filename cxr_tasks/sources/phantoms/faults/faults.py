"""Every fault that can be planted, what it does, and where in the platform it must end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.sources.phantoms.faults import fault_copies as copies
from cxr_tasks.sources.phantoms.faults import fault_files as files
from cxr_tasks.sources.phantoms.faults import fault_shortcuts as shortcuts
from cxr_tasks.sources.phantoms.faults import fault_tables as tables
from cxr_tasks.sources.phantoms.faults.planting import Ground, Planted

ANY = ("kermany", "nih", "chexpert", "dicom")
PICTURES = ("kermany", "nih", "chexpert")
LISTS = ("nih", "chexpert", "dicom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault."""

    plant: Callable[[Ground, int], list[Planted]]
    """Break this many images; the records are those of ``planted.json``."""
    what: str
    ends: str
    """Where each planted image must end:

    - ``quarantine:<reason>``: a row of ``quarantine.csv`` with this reason, and no row of the manifest.
    - ``flag:<word>``: in the manifest, with this word among its ``flags``.
    - ``expectation:<words>``: in the manifest, and the expectation that says so names it and its twin.
    - ``shortcut:<property>``: in the manifest, and the expectation on mutual information names this property.
    - ``one_split``: in the manifest, in the same split as its twin.
    - ``column:<name>=<value>``: in the manifest, with this value.
    - ``usable``: in the manifest, nothing said.
    - ``ignored``: nowhere; the source's notes count it.
    - ``error:<words>``: the scan ends with a ``DataDefect`` that holds these words.
    """
    ends_in: Mapping[str, str] = field(default_factory=dict)
    """Where it ends in single layouts, where that is another place."""
    layouts: tuple[str, ...] = ANY
    is_of_all: bool = False
    """Whether every image is rewritten; such faults come before those that break single images."""

    def end(self, layout: str) -> str:
        """Where it ends in ``layout``; words as in ``ends``."""
        return self.ends_in.get(layout, self.ends)


def _by_content(name: str, content: Any, what: str, ends: str, **more: Any) -> Fault:
    return Fault(plant=files.with_content(name, content), what=what, ends=ends, **more)


def _by_picture(name: str, change: Any, what: str, ends: str, **more: Any) -> Fault:
    return Fault(plant=files.with_picture(name, change), what=what, ends=ends, **more)


def _by_header(name: str, what: str, ends: str, **header: Any) -> Fault:
    plant = files.with_header(name, lambda form: replace(form, **header))
    return Fault(plant=plant, what=what, ends=ends, layouts=("dicom",))


def _of_all(plant: Any, what: str, told_by: str, layouts: tuple[str, ...] = PICTURES) -> Fault:
    return Fault(plant=plant, what=what, ends=f"shortcut:{told_by}", layouts=layouts, is_of_all=True)


FAULTS: dict[str, Fault] = {
    # Files that are no picture.
    "zero_bytes": _by_content("zero_bytes", files.no_bytes, "files of 0 bytes", "quarantine:empty_file"),
    "truncated": _by_content("truncated", files.first_part, "files that end early", "quarantine:truncated"),
    "not_an_image": _by_content("not_an_image", files.web_page, "web pages", "quarantine:not_an_image"),
    "bomb": _by_content("bomb", files.bomb, "PNGs that claim 60,000 x 60,000 pixels", "quarantine:too_many_pixels"),
    "unreadable": Fault(
        plant=files.plant_unreadable, what="files without read permission", ends="quarantine:no_permission"
    ),
    "pipe": Fault(plant=files.plant_pipe, what="named pipes", ends="quarantine:not_a_file"),
    "link_outside": Fault(
        plant=files.plant_link_outside, what="links out of the data folder", ends="quarantine:link_outside"
    ),
    "linked_folder": Fault(
        plant=files.plant_linked_folder, what="folders that are links out of the data folder", ends="ignored"
    ),
    "litter": Fault(plant=files.plant_litter, what="files that desktops and archives leave", ends="ignored"),
    # Pictures that are no usable X-ray, or one in an unusual form.
    "animated": _by_content(
        "animated", files.two_frames, "PNGs of two frames", "quarantine:animated", layouts=PICTURES
    ),
    "cmyk": _by_content("cmyk", files.print_colours, "JPEGs in CMYK", "quarantine:unsupported_mode", layouts=PICTURES),
    "palette": _by_content(
        "palette", files.palette_colours, "PNGs with a palette of greys", "usable", layouts=PICTURES
    ),
    "colour_palette": _by_content(
        "colour_palette",
        files.false_colours,
        "PNGs with a palette of colours",
        "quarantine:colour",
        layouts=PICTURES,
    ),
    "sixteen_bits": _by_content(
        "sixteen_bits", files.sixteen_bits, "PNGs of 16 bits", "column:bit_depth=16", layouts=PICTURES
    ),
    "tiny": _by_picture("tiny", files.thumbnail, "pictures of 40 x 40 pixels", "quarantine:too_small"),
    "blank": _by_picture("blank", files.one_grey, "pictures of one grey", "quarantine:blank"),
    "inverted": _by_picture(
        "inverted", files.inverted, "pictures with black and white swapped", "flag:inverted_suspected"
    ),
    "wrong_body_part": _by_header("wrong_body_part", "knees", "quarantine:wrong_body_part", body_part="KNEE"),
    "wrong_modality": _by_header("wrong_modality", "CT slices", "quarantine:wrong_modality", modality="CT"),
    "burnt_in_text": _by_header(
        "burnt_in_text", "pictures with text burnt in", "quarantine:burnt_in_annotation", has_burnt_in_text=True
    ),
    # Images and tables that do not go together.
    "duplicate_across_splits": Fault(
        plant=copies.plant_duplicates, what="pictures of train once more in test", ends="one_split"
    ),
    "near_duplicate": Fault(plant=copies.plant_near_duplicates, what="such copies, slightly changed", ends="one_split"),
    "conflicting_twins": Fault(
        plant=copies.plant_conflicting_twins,
        what="pictures of well patients once more as those of ill ones",
        ends="expectation:equal pictures have equal labels",
    ),
    "patient_across_splits": Fault(
        plant=copies.plant_patient_across_splits,
        what="patients of test with an image in train (needs patients of several images)",
        ends="one_split",
    ),
    "absent": Fault(
        plant=tables.plant_absent, what="listed images that are not there", ends="quarantine:absent", layouts=LISTS
    ),
    "unlisted": Fault(
        plant=tables.plant_unlisted,
        what="images that no table lists",
        ends="ignored",
        ends_in={"dicom": "quarantine:no_label"},
        layouts=LISTS,
    ),
    "unknown_label": Fault(
        plant=tables.plant_unknown_label,
        what="labels that nobody knows; nothing else of such data can be tested",
        ends=f"error:{tables.UNKNOWN_LABEL}",
        ends_in={"chexpert": "error:2.0", "dicom": "error:2"},
        layouts=LISTS,
    ),
    "unknown_box_label": Fault(
        plant=tables.plant_unknown_box_label,
        what="boxes of labels that nobody knows; nothing else of such data can be tested",
        ends=f"error:{tables.UNKNOWN_LABEL}",
        layouts=("nih",),
    ),
    "path_outside": Fault(
        plant=tables.plant_path_outside,
        what="rows whose path leads out of the data folder; nothing else of such data can be tested, but for nih",
        # NIH's names are looked up among the files that are there, and never joined to a path.
        ends="quarantine:absent",
        ends_in={
            "chexpert": "error:Path: expected one like",
            "dicom": "error:path: expected a path below the data folder",
        },
        layouts=LISTS,
    ),
    "bad_age": Fault(
        plant=tables.plant_bad_age, what="patients of 414 years", ends="column:age_years=nan", layouts=("nih",)
    ),
    # What all files of ill patients have in common.
    "mode_shortcut": _of_all(shortcuts.plant_mode_shortcut, "all images with pneumonia in RGB, no other one", "mode"),
    "format_shortcut": _of_all(
        shortcuts.plant_format_shortcut, "all images with pneumonia as PNG, all others as JPEG", "file_format"
    ),
    "size_shortcut": _of_all(
        shortcuts.plant_size_shortcut, "all images with pneumonia half as large again", "size", layouts=ANY
    ),
}


def checked_faults(faults: Mapping[str, Any], layout: str) -> dict[str, int]:
    """How many images of each fault, in the order of ``FAULTS``: all images first, single ones after them.

    Raises:
        ConfigurationError: A fault is not known, not one of this layout, or not asked for by a count.
    """
    for name, count in faults.items():
        if name not in FAULTS:
            raise ConfigurationError(
                f"faults: {name!r} is not known{nearest(name, FAULTS)}; known: {', '.join(FAULTS)}"
            )
        if layout not in FAULTS[name].layouts:
            raise ConfigurationError(
                f"faults: {name!r} is not one of layout {layout!r}; it is of: {', '.join(FAULTS[name].layouts)}"
            )
        if not isinstance(count, int) or not 0 <= count <= 1000:
            raise ConfigurationError(f"faults.{name}: expected a count from 0 to 1000 (or true), found {count!r}")
    order = sorted(FAULTS, key=lambda name: not FAULTS[name].is_of_all)
    return {name: int(faults[name]) for name in order if faults.get(name)}


def plant_faults(ground: Ground, faults: Mapping[str, Any]) -> list[Planted]:
    """Break what was asked for; every fault has images of its own.

    Raises:
        ConfigurationError: As ``checked_faults``, or there are not images enough.
    """
    return [one for name, n in checked_faults(faults, ground.layout).items() for one in FAULTS[name].plant(ground, n)]
