"""Shares within groups of images, and against all others: a finding's subgroups, and two datasets side by side."""

from __future__ import annotations

from dataclasses import dataclass, field

from cxr_tasks.contracts.metrics import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareFacts:
    """All that the interval of a share of images is made from (``statistics.shares.Share``)."""

    hits: int
    """Of ``n``, for example images that are called rightly."""
    n: int
    n_patients: int | None = None
    n_effective: float | None = None
    """How many independent images the ``n`` are worth, at most ``n``. None: of before patients were counted."""
    freedom: float | None = None
    """Degrees of freedom left; None where they have no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonFacts:
    """All that a difference of two shares is made from (``statistics.shares.Comparison``)."""

    one: ShareFacts
    other: ShareFacts
    correlation: float
    """Of the errors of both shares, in [-1, 1]; 0 where no patient has images on both sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """Images with one value of a property; every measure is None where there is nothing to measure."""

    by: str
    """The property, such as ``view``, ``sex``, ``age_years`` or ``dataset``."""
    value: str
    """Its value that these images share."""
    n: int
    """Images whose target is known."""
    n_positive: int
    n_patients: int | None = None
    """None: of before patients were counted."""
    auroc: Bounds | None = None
    sensitivity: Bounds | None
    """Of the served decision."""
    specificity: Bounds | None
    sensitivity_gap: Bounds | None = None
    """The group's sensitivity less that of all others; below 0 the group is missed more often."""
    false_negative_rate_gap: Bounds | None = None
    """The same with the other sign."""
    specificity_gap: Bounds | None = None
    is_weak: bool
    """Fewer than 20 positive images in the group."""
    is_gap_weak: bool = False
    """Fewer than 20 positive images in the group or among all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubgroupRow(_Row):
    """One group of the test images of one finding, against all other images with a known value of the property.

    Format 1 has neither AUROC nor gaps.
    """

    compared: dict[str, ComparisonFacts] = field(default_factory=dict)
    """``sensitivity`` and ``specificity`` -> what the gap is made from; empty of before patients were counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRow(_Row):
    """One finding on one dataset against another dataset, whose patients are others; ``by`` is ``dataset``."""

    auroc_gap: Bounds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StratifiedFacts:
    """A difference of two shares over all findings, and what its interval is made from
    (``statistics.stratified.StratifiedDifference``)."""

    value: float
    """In [-1, 1]; below 0 the group is served worse."""
    error: float
    """Standard error by patient."""
    freedom: float
    n_strata: int
    """Findings with images on both sides."""
    n: tuple[int, ...]
    """Pairs of image and finding in the group, and outside it."""
    n_patients: tuple[int, ...]
    """Whose those are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TogetherRow:
    """One group of images over all findings; a measure is None where there are no two sides of two patients."""

    by: str
    value: str
    sensitivity: StratifiedFacts | None
    specificity: StratifiedFacts | None
