"""What we expect of a manifest's rows, one per image (columns: ``contracts.records`` and ``expectations.derived``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from cxr_tasks.contracts.labels import SEXES, SPLITS, VIEWS, LabelState, findings_of, label_column
from cxr_tasks.contracts.records import MANIFEST_COLUMNS
from expectations.rules import (
    CRITICAL,
    WARNING,
    between,
    given,
    has_columns,
    has_type,
    matches,
    no_fault,
    one_of,
    unique,
)

_FORMATS = ("BMP", "DICOM", "JPEG", "PNG")
_MODES = ("I;16", "I;16B", "L", "LA", "P", "PA", "RGB", "RGBA")
_SUB_LABELS = {"pneumonia": ("", "bacteria", "virus")}
_TYPES = {
    **dict.fromkeys(("width_px", "height_px", "bit_depth"), "int64"),
    **dict.fromkeys(("age_years", "mean", "deviation", "entropy", "sharpness", "border_fraction"), "float64"),
}


def build_manifest_suite(vocabulary: str) -> gx.ExpectationSuite:
    """The suite for a manifest of ``vocabulary`` with the columns of ``expectations.derived``."""
    findings = findings_of(vocabulary)
    expectations = [
        *_form(findings),
        *_identity(),
        *_known_words(vocabulary, findings),
        *_splits(),
        *_labels(findings),
        *_pictures(),
    ]
    return gx.ExpectationSuite(name=f"manifest_{vocabulary}", expectations=expectations)


def _form(findings: Sequence[str]) -> Iterator[Expectation]:
    columns = [*MANIFEST_COLUMNS, *map(label_column, findings)]
    yield has_columns(columns, "every column of the manifest is there")
    yield gxe.ExpectTableRowCountToBeBetween(
        min_value=20, severity=CRITICAL, notes="fewer than 20 images cannot be split, trained on and judged"
    )
    yield from (has_type(column, _TYPES.get(column, "str")) for column in columns)
    yield from (given(column, f"{column} is given for every image") for column in columns if column != "age_years")


def _identity() -> Iterator[Expectation]:
    yield unique("image_id", CRITICAL, "an image is listed once; its id is its file")
    yield matches("image_id", r"^(?!/)(?!(?:.*/)?\.\.(?:/|$))[^\\]+$", "image_id is a path below the data folder")
    for column, kind, n_digits in (
        ("file_sha256", "sha256", 64),
        ("pixel_hash", "XXH3", 32),
        ("perceptual_hash", "256 bits", 64),
    ):
        yield matches(column, f"^[0-9a-f]{{{n_digits}}}$", f"{column} holds {kind} in hex")
    yield gxe.ExpectColumnValueLengthsToBeBetween(
        column="patient_id", min_value=1, severity=CRITICAL, notes="every image has a patient; splits go by patient"
    )
    yield unique("pixel_hash", WARNING, "the same picture is not listed under two names")
    yield between("n_sexes_of_patient", None, 1, WARNING, "a patient has one sex in all images")


def _known_words(vocabulary: str, findings: Sequence[str]) -> Iterator[Expectation]:
    words: dict[str, Sequence[str]] = {
        "split": SPLITS,
        "official_split": ("", *SPLITS),
        "view": VIEWS,
        "sex": SEXES,
        "file_format": _FORMATS,
        "mode": _MODES,
        **{label_column(finding): [state.value for state in LabelState] for finding in findings},
    }
    if vocabulary in _SUB_LABELS:
        words["sub_label"] = _SUB_LABELS[vocabulary]
    for column, known in words.items():
        yield one_of(column, known, CRITICAL, f"{column} holds known words only")


def _splits() -> Iterator[Expectation]:
    yield between("n_splits_of_patient", None, 1, CRITICAL, "a patient is in one split only")
    yield between("n_splits_of_pixels", None, 1, CRITICAL, "equal pictures are in one split only")
    yield between("n_splits_of_near_pixels", None, 1, CRITICAL, "nearly equal pictures are in one split only")
    yield one_of("is_official_test_elsewhere", [False], WARNING, "images of the official test split are in test")


def _labels(findings: Sequence[str]) -> Iterator[Expectation]:
    yield between("n_label_sets_of_pixels", None, 1, WARNING, "equal pictures have equal labels")
    yield one_of("is_sub_label_without_finding", [False], CRITICAL, "a finer label goes with a positive finding")
    if "no_finding" in findings:
        yield one_of(
            "is_no_finding_contradicted", [False], WARNING, "where no_finding is positive no finding of illness is"
        )
    yield no_fault("box_fault", CRITICAL, "boxes can be read, mark known findings and lie in their pictures")
    yield between("n_boxes_without_finding", None, 0, WARNING, "a box goes with a positive finding")


def _pictures() -> Iterator[Expectation]:
    ranges: tuple[tuple[str, float | None, float | None, FailureSeverity, str], ...] = (
        ("width_px", 64, 10_000, CRITICAL, "width is that of a chest X-ray"),
        ("height_px", 64, 10_000, CRITICAL, "height is that of a chest X-ray"),
        ("bit_depth", 1, 16, CRITICAL, "a grey value has 1 to 16 bits"),
        ("aspect_ratio", 0.4, 3.0, WARNING, "width to height is that of a chest X-ray"),
        ("mean", 0.0, 1.0, CRITICAL, "mean grey lies on its scale"),
        ("mean", 0.1, 0.9, WARNING, "the picture is neither nearly black nor nearly white"),
        ("deviation", 0.01, 0.5, CRITICAL, "the picture shows something"),
        ("deviation", 0.05, 0.4, WARNING, "the picture has the contrast of an X-ray"),
        ("entropy", 0.0, 8.0, CRITICAL, "entropy lies on its scale"),
        ("entropy", 3.0, None, WARNING, "the picture has many grey values, as an X-ray has"),
        ("sharpness", 0.0, None, CRITICAL, "sharpness is not negative"),
        ("border_fraction", 0.0, 1.0, CRITICAL, "border_fraction is a share"),
        ("border_fraction", None, 0.4, WARNING, "uniform bands take 0.4 of the picture at most"),
        ("age_years", 0, 120, WARNING, "ages are those of people"),
    )
    yield from (between(*bounds) for bounds in ranges)
    yield no_fault("flags", WARNING, "no picture is flagged for a person to look at")
