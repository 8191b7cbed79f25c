"""Secondary captures: the X-ray, the same under a heat map, and words that say what it is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from cxr_tasks.contracts.labels import display_name
from cxr_tasks.explain.dicom.subject import MANUFACTURER, STATEMENT, Subject, finished
from cxr_tasks.explain.overlays import GROUND, TEXT
from cxr_tasks.explain.single import overlay_of, shown_findings
from serving.client import Answer

SERIES_NUMBER = 9902
CAPTION_PX = 44


def overlay_captures(answer: Answer, subject: Subject, content: bytes) -> Iterator[tuple[str, Any]]:
    """Finding and capture, of each positive finding or of the most probable one; all of one series."""
    from highdicom.sc import SCImage
    from highdicom.uid import UID

    series = UID()
    for number, place in enumerate(shown_findings(answer), 1):
        finding = answer.labels[place]
        made = SCImage.from_ref_dataset(
            subject.header,
            pixel_array=captioned(overlay_of(answer, place, subject.model, content), _caption(answer, place, subject)),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "F"),
            series_instance_uid=series,
            series_number=SERIES_NUMBER,
            sop_instance_uid=UID(),
            instance_number=number,
            manufacturer=MANUFACTURER,
            transfer_syntax_uid="1.2.840.10008.1.2.1",
        )
        made.BodyPartExamined = "CHEST"
        made.ImageType = ["DERIVED", "SECONDARY"]
        # As the image's own header says, and empty where it says nothing: no side is made up.
        made.PatientOrientation = subject.header.get("PatientOrientation")
        made.ManufacturerModelName = subject.speaker[:64]
        made.DerivationDescription = f"Heat map of {display_name(finding)} over the image. {STATEMENT}"
        # Our words name no patient; what is written in the X-ray itself only its header can tell.
        if (told := str(subject.header.get("BurnedInAnnotation") or "")) in ("YES", "NO"):
            made.BurnedInAnnotation = told
        elif "BurnedInAnnotation" in made:
            del made.BurnedInAnnotation
        made.ImageComments = STATEMENT
        yield finding, finished(made, f"{subject.speaker}: heat maps, not a diagnosis")


def captioned(png: bytes, lines: tuple[str, str]) -> np.ndarray:
    """The picture with two lines of text below it: uint8 ``(height, width, 3)``."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    whole = Image.new("RGB", (picture.width, picture.height + CAPTION_PX), GROUND)
    whole.paste(picture, (0, 0))
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(size=14)
    for number, line in enumerate(lines):
        draw.text((8, picture.height + 6 + 18 * number), line, fill=TEXT, font=font)
    return np.asarray(whole)


def _caption(answer: Answer, place: int, subject: Subject) -> tuple[str, str]:
    said = f"{subject.speaker}: {display_name(answer.labels[place])} {answer.probabilities[place]:.3f}"
    return said + (", image unlike those of training" if answer.is_unusual else ""), STATEMENT
