"""Phantoms as files: what is to be drawn, in which form, and what was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.sources.phantoms.drawing.cohort import Visit
from cxr_tasks.sources.phantoms.drawing.render import DrawnBox, PhantomRequest, Shown, render
from cxr_tasks.sources.phantoms.layouts.dicom_form import DicomForm, write_dicom

#: How strongly the sign of a finding is drawn that a reader would call uncertain.
UNCERTAIN_STRENGTH = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomFile:
    """One file to draw: its place below the data folder, what it shows, and its form."""

    image_id: str
    request: PhantomRequest
    visit: Visit | None = None
    """Whose image it is; None in the Kermany layout, where the name tells."""
    mode: Literal["L", "RGB", "RGBA"] = "L"
    quality: int = 90
    """Of a JPEG."""
    dicom: DicomForm | None = None
    """Given for a DICOM file; the suffix of ``image_id`` tells the other forms."""

    @property
    def known_visit(self) -> Visit:
        """The visit, in layouts where every image has one."""
        if self.visit is None:
            raise ValueError(f"{self.image_id}: expected an image of a visit; the Kermany layout has none")
        return self.visit


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnFile:
    """What came of a ``PhantomFile``."""

    width: int
    height: int
    boxes: tuple[DrawnBox, ...]


def request_for(visit: Visit, *, seed: int, size_px: int, is_square: bool, is_lateral: bool = False) -> PhantomRequest:
    """The picture of a visit: findings that are there, and faintly those in doubt."""
    strengths = {LabelState.POSITIVE: 1.0, LabelState.UNCERTAIN: UNCERTAIN_STRENGTH}
    return PhantomRequest(
        seed=seed,
        patient=visit.patient,
        image=visit.number,
        size_px=size_px,
        is_square=is_square,
        is_lateral=is_lateral,
        findings=tuple(
            Shown(finding, strengths[state]) for finding, state in visit.states.items() if state in strengths
        ),
    )


def draw_files(work: list[tuple[str, PhantomFile]]) -> list[DrawnFile]:
    """Draw and write each (data folder, file); what a worker process runs."""
    drawn = []
    for root, file in work:
        phantom = render(file.request)
        _write(Path(root) / file.image_id, phantom.pixels, file)
        boxes = (*(DrawnBox("pneumonia", *box) for box in phantom.boxes), *_certain(phantom.finding_boxes, file.visit))
        height, width = phantom.pixels.shape
        drawn.append(DrawnFile(width=width, height=height, boxes=boxes))
    return drawn


def _certain(boxes: tuple[DrawnBox, ...], visit: Visit | None) -> tuple[DrawnBox, ...]:
    # Nobody draws a box around what may not be there.
    return tuple(box for box in boxes if visit is None or visit.has(box.finding))


def _write(path: Path, pixels: np.ndarray, file: PhantomFile) -> None:
    if file.dicom is not None:
        write_dicom(path, pixels, file.dicom)
        return
    picture = Image.fromarray(pixels)
    if file.mode != "L":
        picture = picture.convert(file.mode)
    if path.suffix == ".png":
        # The default level takes three times as long for a twentieth less.
        picture.save(path, format="PNG", compress_level=3)
    else:
        picture.save(path, format="JPEG", quality=file.quality)
