"""Open image files once: their hashes, form and grey statistics, or the reason why one cannot be used."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cxr_tasks.images.inspection.form import Form
from cxr_tasks.images.inspection.picture import decode, own_size_bound
from cxr_tasks.images.inspection.pixel_hash import pixel_hash
from cxr_tasks.images.inspection.statistics import Samples, Statistics
from cxr_tasks.images.inspection.unusable import Unusable
from cxr_tasks.ingest.inspection.opening import FileState, read_whole
from cxr_tasks.sources.base import Refusal

#: Part of what marks a stored inspection as still good; raise it whenever the same file would give another one.
INSPECTION_VERSION = 7
#: Below this deviation of the grey values (on the [0, 1] scale) a picture shows nothing.
BLANK_DEVIATION = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderFacts:
    """What a DICOM header says of patient and picture; ids are keyed hashes already."""

    patient_id: str
    study_id: str
    view: str
    sex: str
    age_years: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What is in a usable image file; fields as the manifest columns of the same names."""

    file_sha256: str
    pixel_hash: str
    perceptual_hash: str
    file_format: str
    mode: str
    width_px: int
    height_px: int
    bit_depth: int
    mean: float
    deviation: float
    entropy: float
    sharpness: float
    border_fraction: float
    flags: str
    header: HeaderFacts | None = None


@dataclass(slots=True)
class Opened:
    """What came of one file: ``found`` is None where its bytes are those that were expected."""

    image_id: str
    state: FileState | None
    """None where it could not be read, and where the same bytes may be usable next time."""
    file_sha256: str
    found: Inspection | Refusal | None


def open_files(work: Sequence[tuple[str, str, str]]) -> list[Opened]:
    """What came of every (root, image_id, expected sha256 or ''); one whose bytes are as expected is not decoded.

    This is what worker processes run, so the module imports little.
    """
    known_inside: set[tuple[str, str]] = set()
    samples = Samples(len(work))
    with own_size_bound():
        looked_at = [_look_at(root, image_id, expected, known_inside, samples) for root, image_id, expected in work]
    statistics = iter(samples.statistics())
    return [_judged(image, next(statistics)) if isinstance(image, _Decoded) else image for image in looked_at]


@dataclass(slots=True)
class _Decoded:
    """A picture that was read and decoded; of its pixels only samples are kept, so that many fit in memory."""

    image_id: str
    state: FileState
    file_sha256: str
    pixel_hash: str
    form: Form


def _look_at(
    root: str, image_id: str, expected_sha256: str, known_inside: set[tuple[str, str]], samples: Samples
) -> _Decoded | Opened:
    state, file_sha256 = None, ""
    try:
        content, state = read_whole(root, image_id, known_inside)
        file_sha256 = hashlib.sha256(content).hexdigest()
        if file_sha256 == expected_sha256:
            return Opened(image_id, state, file_sha256, None)
        picture = decode(content)
    except Unusable as why:
        if why.reason == "out_of_memory":
            state = None
        refusal = Refusal(image_id=image_id, reason=why.reason, detail=why.detail, action=why.action)
        return Opened(image_id, state, file_sha256, refusal)
    samples.add(picture.grey, picture.white)
    return _Decoded(image_id, state, file_sha256, pixel_hash(picture), picture.form)


def _judged(decoded: _Decoded, statistics: Statistics) -> Opened:
    """The inspection of a decoded picture, or its refusal where it shows nothing."""
    result: Inspection | Refusal
    if statistics.deviation < BLANK_DEVIATION:
        result = Refusal(
            image_id=decoded.image_id,
            reason="blank",
            detail=f"grey values deviate by {statistics.deviation:.4f} of the range, expected {BLANK_DEVIATION}",
            action="look at the image; fetch it again or remove it",
        )
    else:
        form = decoded.form
        result = Inspection(
            file_sha256=decoded.file_sha256,
            pixel_hash=decoded.pixel_hash,
            perceptual_hash=statistics.perceptual_hash,
            file_format=form.file_format,
            mode=form.mode,
            width_px=form.width_px,
            height_px=form.height_px,
            bit_depth=form.bit_depth,
            mean=statistics.mean,
            deviation=statistics.deviation,
            entropy=statistics.entropy,
            sharpness=statistics.sharpness,
            border_fraction=statistics.border_fraction,
            flags=",".join(filter(None, (statistics.flags, *form.flags))),
            header=_facts(form),
        )
    return Opened(decoded.image_id, decoded.state, decoded.file_sha256, result)


def _facts(form: Form) -> HeaderFacts | None:
    if form.header is None:
        return None
    return HeaderFacts(
        patient_id=form.header.patient_id,
        study_id=form.header.study_id,
        view=form.header.view,
        sex=form.header.sex,
        age_years=form.header.age_years,
    )
