"""What ``cxr predict`` says of a patient or view that the model was trained without, by the header of a DICOM file."""

from __future__ import annotations

import functools
from pathlib import Path

from cxr_tasks.contracts.serving_contract import TrainedOn
from cxr_tasks.images.dicom import age_and_view, is_dicom
from serving.client import Answer, Refused
from serving.served.cautions import cautions, served_contract

#: The header of an X-ray lies at its beginning; more is not read for it, and of other files next to nothing.
HEADER_BYTES, FIRST_BYTES = 1 << 20, 256


def cautions_of(model: str, answer: Answer | Refused, image: Path | bytes) -> tuple[str, ...]:
    """Sentences on what the version that answered was trained without; () where header or version do not tell."""
    if not isinstance(answer, Answer) or answer.version is None:
        return ()
    trained_on = _trained_on(model, answer.version)
    if trained_on is None:
        return ()
    age_years, view = age_and_view(_beginning(image))
    return cautions(trained_on, age_years=age_years, view=view)


@functools.lru_cache(maxsize=64)
def _trained_on(model: str, version: int) -> TrainedOn | None:
    contract = served_contract(model, version)
    return None if contract is None else contract.trained_on


def _beginning(image: Path | bytes) -> bytes:
    if isinstance(image, bytes):
        return image[:HEADER_BYTES]
    try:
        with open(image, "rb") as stream:
            first = stream.read(FIRST_BYTES)
            return first + stream.read(HEADER_BYTES) if is_dicom(first) else b""
    except OSError:
        # It was there when it was sent; gone since, it has its answer and no more to tell.
        return b""
