"""What ingest would say of the bytes of a served image: its hash, form and grey statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_tasks.images.inspection.form import Picture
from cxr_tasks.images.inspection.lines import has_line
from cxr_tasks.images.inspection.picture import decode, own_size_bound
from cxr_tasks.images.inspection.pixel_hash import pixel_hash
from cxr_tasks.images.inspection.statistics import Samples
from cxr_tasks.images.inspection.unusable import Unusable

#: A dead row or column of the detector; a word of the log only, as ingest does not look for it.
LINE_SUSPECTED = "line_suspected"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """Fields as the columns of the log; those of a picture that ingest would not take are NaN, 0 or ''."""

    pixel_hash: str = ""
    file_format: str = ""
    width_px: int = 0
    height_px: int = 0
    mean: float = math.nan
    deviation: float = math.nan
    entropy: float = math.nan
    sharpness: float = math.nan
    border_fraction: float = math.nan
    flags: str = ""


def image_facts(images: Sequence[bytes]) -> list[ImageFacts]:
    """The facts of each image, in order."""
    samples, pictures, have_line = Samples(len(images)), [], []
    with own_size_bound():
        for content in images:
            pictures.append(picture := _decoded(content))
            if picture is not None:
                samples.add(picture.grey, picture.white)
                grey = picture.grey if picture.white <= 255 else (picture.grey >> 8).astype(np.uint8)
                have_line.append(has_line(grey))
    statistics, lines = iter(samples.statistics()), iter(have_line)
    facts = []
    for picture in pictures:
        if picture is None:
            facts.append(ImageFacts())
            continue
        measured, form = next(statistics), picture.form
        words = (measured.flags, *form.flags, LINE_SUSPECTED if next(lines) else "")
        facts.append(
            ImageFacts(
                pixel_hash=pixel_hash(picture),
                file_format=form.file_format,
                width_px=form.width_px,
                height_px=form.height_px,
                mean=measured.mean,
                deviation=measured.deviation,
                entropy=measured.entropy,
                sharpness=measured.sharpness,
                border_fraction=measured.border_fraction,
                flags=",".join(filter(None, words)),
            )
        )
    return facts


def _decoded(content: bytes) -> Picture | None:
    try:
        return decode(content)
    except Unusable:
        return None
