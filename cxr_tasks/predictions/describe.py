"""What ingest would say of the bytes of a served image: its hash, form and grey statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cxr_tasks.images.inspection.picture import Picture, decode, own_size_bound
from cxr_tasks.images.inspection.pixel_hash import pixel_hash
from cxr_tasks.images.inspection.statistics import Samples
from cxr_tasks.images.inspection.unusable import Unusable


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
    samples, pictures = Samples(len(images)), []
    with own_size_bound():
        for content in images:
            pictures.append(picture := _decoded(content))
            if picture is not None:
                samples.add(picture.grey, picture.white)
    statistics = iter(samples.statistics())
    facts = []
    for picture in pictures:
        if picture is None:
            facts.append(ImageFacts())
            continue
        found, form = next(statistics), picture.form
        facts.append(
            ImageFacts(
                pixel_hash=pixel_hash(picture),
                file_format=form.file_format,
                width_px=form.width_px,
                height_px=form.height_px,
                mean=found.mean,
                deviation=found.deviation,
                entropy=found.entropy,
                sharpness=found.sharpness,
                border_fraction=found.border_fraction,
                flags=",".join(filter(None, (found.flags, "coloured_mark" if form.coloured else ""))),
            )
        )
    return facts


def _decoded(content: bytes) -> Picture | None:
    try:
        return decode(content)
    except Unusable:
        return None
