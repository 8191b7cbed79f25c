"""The small files of a prepared dataset that other stages read: ``statistics.json`` and ``provenance.json``.

What is not required is lacking in datasets that former code prepared.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class LabelCounts(TypedDict):
    """Images of a split by the state of one finding."""

    positive: int
    negative: int
    uncertain: int
    unmentioned: int
    positive_rate: float | None
    """Share of positives among those whose label is known; None where none is."""


class SplitStatistics(TypedDict, total=False):
    """What one split holds; ``statistics.json`` is split -> this."""

    n_images: int
    n_patients: int
    labels: dict[str, LabelCounts]
    """Finding -> its counts."""
    view: dict[str, int]
    sex: dict[str, int]
    source: dict[str, int]
    sub_label: dict[str, int]
    age_years: dict[str, float | None]
    """``n_known``, ``mean``, ``min`` and ``max``."""
    n_boxes: int
    pixels: dict[str, Any]
    """Grey values on the [0, 1] scale (``prepare.split_statistics.PixelProfile``)."""


#: The whole of ``statistics.json``.
Statistics = dict[str, SplitStatistics]


class Moved(TypedDict):
    """How many stand in another split than the source has them in."""

    images: int
    patients: int


class ChangedSince(TypedDict):
    """Patients who stood in another split in the version before, which ``fingerprint`` names."""

    fingerprint: str
    n_known: int
    into_test: int
    out_of_test: int
    between_others: int


class SplitFacts(TypedDict):
    """Which rule made the test split, and whom it moved (``datasets.split_facts``)."""

    rule: Literal["official", "dealt"]
    n_official: NotRequired[int]
    """Images of the source's test split; this and the next three only with the rule ``official``."""
    moved_in: NotRequired[Moved]
    moved_out: NotRequired[Moved]
    from_nowhere: NotRequired[Moved]
    changed_since: NotRequired[ChangedSince | None]


class Provenance(TypedDict, total=False):
    """What a prepared dataset was made of, by what, and what was found of it."""

    dataset: str
    fingerprint: str
    previous_fingerprint: str | None
    """The version whose splits known patients kept; None for the first."""
    vocabulary: str
    pixels: dict[str, Any]
    root: str
    manifest_sha256: str
    validation: dict[str, Any]
    """``n_expectations``, ``n_warnings`` and ``sha256`` of ``validation.json``."""
    quarantine: dict[str, int] | None
    """Reason -> files that ingest refused; None where its table was gone."""
    index_sha256: str
    content_sha256: str
    splits: SplitFacts
    recipe: str
    recipe_sha256: str
    settings: dict[str, Any]
    """``dataset``, ``split`` and ``pixels`` of the recipe."""
    n_left_out: int
    """Images that could not be decoded."""
    made_at: str
    versions: dict[str, Any]
    """``prepare``, ``python``, and packages."""
