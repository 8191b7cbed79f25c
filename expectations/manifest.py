"""What we expect of a manifest, as a Great Expectations suite.

``critical`` stops the run: a model trained on such a table would be wrong or judged wrongly. ``warning`` is for a
person to know. Each expectation's ``notes`` say in a sentence what it is about; logs and Data Docs show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from cxr_tasks.contracts.labels import SEXES, SPLITS, VIEWS, LabelState, label_column
from cxr_tasks.contracts.records import MANIFEST_COLUMNS
from expectations.derived import (
    SHORTCUTS,
    is_positive_column,
    prevalence_gap_column,
    shortcut_column,
    split_state_column,
)

CRITICAL, WARNING = FailureSeverity.CRITICAL, FailureSeverity.WARNING

_FORMATS = ("BMP", "JPEG", "PNG")
_MODES = ("I;16", "I;16B", "L", "LA", "P", "PA", "RGB", "RGBA")
_SUB_LABELS = {"pneumonia": ("", "bacteria", "virus")}
_TYPES = {"width_px": "int64", "height_px": "int64", "age_years": "float64", "mean": "float64", "deviation": "float64"}


def build_manifest_suite(findings: Sequence[str]) -> gx.ExpectationSuite:
    """The suite for a manifest (``contracts.records``) with the columns of ``expectations.derived``."""
    name = findings[0] if len(findings) == 1 else f"{len(findings)}_findings"
    expectations = [
        *_form(findings),
        *_identity(),
        *_known_words(findings),
        *_splits(),
        *_pictures(),
        *(one for finding in findings for one in _labels(finding)),
        *(one for finding in findings for one in _shortcuts(finding)),
    ]
    return gx.ExpectationSuite(name=f"manifest_{name}", expectations=expectations)


def _form(findings: Sequence[str]) -> Iterator[Expectation]:
    columns = [*MANIFEST_COLUMNS, *map(label_column, findings)]
    yield gxe.ExpectTableColumnsToMatchSet(
        column_set=columns, exact_match=False, severity=CRITICAL, notes="every column of the manifest is there"
    )
    yield gxe.ExpectTableRowCountToBeBetween(
        min_value=20, severity=CRITICAL, notes="fewer than 20 images cannot be split, trained on and judged"
    )
    for column in columns:
        yield gxe.ExpectColumnValuesToBeOfType(
            column=column, type_=_TYPES.get(column, "str"), severity=CRITICAL, notes=f"{column} has its type"
        )
    for column in columns:
        if column != "age_years":
            yield gxe.ExpectColumnValuesToNotBeNull(
                column=column, severity=CRITICAL, notes=f"{column} is given for every image"
            )


def _identity() -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToBeUnique(
        column="image_id", severity=CRITICAL, notes="an image is listed once; its id is its file"
    )
    yield gxe.ExpectColumnValuesToMatchRegex(
        column="image_id",
        regex=r"^(?!/)(?!(?:.*/)?\.\.(?:/|$))[^\\]+$",
        severity=CRITICAL,
        notes="image_id is a path below the data folder",
    )
    for column in ("file_sha256", "pixel_sha256"):
        yield gxe.ExpectColumnValuesToMatchRegex(
            column=column, regex="^[0-9a-f]{64}$", severity=CRITICAL, notes=f"{column} is a sha256 in hex"
        )
    yield gxe.ExpectColumnValueLengthsToBeBetween(
        column="patient_id", min_value=1, severity=CRITICAL, notes="every image has a patient; splits go by patient"
    )
    yield gxe.ExpectColumnValuesToBeUnique(
        column="pixel_sha256", severity=WARNING, notes="the same picture is not listed under two names"
    )


def _known_words(findings: Sequence[str]) -> Iterator[Expectation]:
    states = sorted(state.value for state in LabelState)
    words: dict[str, Sequence[str]] = {
        "split": SPLITS,
        "official_split": ("", *SPLITS),
        "view": VIEWS,
        "sex": SEXES,
        "file_format": _FORMATS,
        "mode": _MODES,
        **{label_column(finding): states for finding in findings},
    }
    if tuple(findings) in {(one,) for one in _SUB_LABELS}:
        words["sub_label"] = _SUB_LABELS[findings[0]]
    for column, known in words.items():
        yield gxe.ExpectColumnValuesToBeInSet(
            column=column, value_set=list(known), severity=CRITICAL, notes=f"{column} holds known words only"
        )
    yield gxe.ExpectColumnValuesToBeInSet(
        column="is_sub_label_without_finding",
        value_set=[False],
        severity=CRITICAL,
        notes="a finer label goes with a positive finding",
    )


def _splits() -> Iterator[Expectation]:
    yield gxe.ExpectColumnValuesToBeBetween(
        column="n_splits_of_patient", max_value=1, severity=CRITICAL, notes="a patient is in one split only"
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="n_splits_of_pixels", max_value=1, severity=CRITICAL, notes="equal pictures are in one split only"
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="n_label_sets_of_pixels", max_value=1, severity=WARNING, notes="equal pictures have equal labels"
    )


def _pictures() -> Iterator[Expectation]:
    ranges: tuple[tuple[str, float, float, FailureSeverity, str], ...] = (
        ("width_px", 64, 10_000, CRITICAL, "width is that of a chest X-ray"),
        ("height_px", 64, 10_000, CRITICAL, "height is that of a chest X-ray"),
        ("aspect_ratio", 0.4, 3.0, WARNING, "width to height is that of a chest X-ray"),
        ("mean", 0.0, 1.0, CRITICAL, "mean grey lies on its scale"),
        ("mean", 0.1, 0.9, WARNING, "the picture is neither nearly black nor nearly white"),
        ("deviation", 0.01, 0.5, CRITICAL, "the picture shows something"),
        ("deviation", 0.05, 0.4, WARNING, "the picture has the contrast of an X-ray"),
        ("age_years", 0, 120, WARNING, "ages are those of people"),
        ("n_boxes_outside", 0, 0, CRITICAL, "boxes lie in their pictures"),
    )
    for column, low, high, severity, notes in ranges:
        yield gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=low, max_value=high, severity=severity, notes=notes
        )


def _labels(finding: str) -> Iterator[Expectation]:
    both_everywhere = [f"{split}:{state}" for split in SPLITS for state in ("negative", "positive")]
    yield gxe.ExpectColumnDistinctValuesToContainSet(
        column=split_state_column(finding),
        value_set=both_everywhere,
        severity=CRITICAL,
        notes=f"{finding} is present and absent in every split",
    )
    yield gxe.ExpectColumnMeanToBeBetween(
        column=is_positive_column(finding),
        min_value=0.01,
        max_value=0.99,
        severity=CRITICAL,
        notes=f"at least 1 % of the images are positive for {finding}, and 1 % are not",
    )
    yield gxe.ExpectColumnMeanToBeBetween(
        column=is_positive_column(finding),
        min_value=0.2,
        max_value=0.8,
        severity=WARNING,
        notes=f"classes of {finding} are balanced to 1:4 or better",
    )
    yield gxe.ExpectColumnMaxToBeBetween(
        column=prevalence_gap_column(finding),
        max_value=0.1,
        severity=WARNING,
        notes=f"share of {finding} differs by 0.1 at most between train and validation",
    )


def _shortcuts(finding: str) -> Iterator[Expectation]:
    for shortcut in SHORTCUTS:
        yield gxe.ExpectColumnMaxToBeBetween(
            column=shortcut_column(finding, shortcut),
            max_value=0.65,
            severity=WARNING,
            notes=f"{shortcut} alone does not tell {finding}: AUROC 0.65 at most",
        )
