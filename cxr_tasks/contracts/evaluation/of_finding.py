"""What evaluation finds of one finding: ``by_finding.<finding>`` and ``serving.<finding>`` of ``metrics.json``."""

from __future__ import annotations

from dataclasses import dataclass, field

from cxr_tasks.contracts.evaluation.groups import SubgroupRow
from cxr_tasks.contracts.metrics import Records

#: The splits that are measured; nothing is chosen on test.
Split = str
MEASURED_SPLITS = ("validation", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCount:
    """Images of one class, and whose they are."""

    n: int
    n_patients: int
    n_effective: float
    """How many patients with equally many images those are worth, at most ``n_patients``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Images of one split by what is known of the finding."""

    n: int
    """Images whose target is known."""
    n_positive: int
    n_patients: int | None = None
    """None: of before patients were counted; so is ``by_class``."""
    n_unknown: int | None = None
    """Images that count for nothing: neither positive nor negative."""
    by_class: dict[str, ClassCount] | None = None
    """Of ``positive`` and of ``negative``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointMeasures:
    """What fixed calls do on one split: counts of images, and records of ``contracts.metrics.DECISION_METRICS``."""

    n: int
    n_positive: int
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    metrics: Records


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A threshold and what it does on both splits."""

    threshold: float
    """Calibrated probability, in (0, 1); an image at or above it is called positive."""
    served: bool
    chosen_on: str
    """Where the threshold comes from, in words."""
    validation: PointMeasures
    test: PointMeasures

    def on(self, split: Split) -> PointMeasures:
        """``KeyError`` for another split than validation and test."""
        return {"validation": self.validation, "test": self.test}[split]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Images whose probability lies in one of ten bins of equal width; all numbers but ``n`` are in [0, 1]."""

    mean_probability: float
    share_positive: float
    lower: float
    upper: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """The bins that hold an image, by uncalibrated and by calibrated probability."""

    before: tuple[ReliabilityBin, ...]
    after: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """probability = sigmoid(a * logit + b), ``a`` above 0."""

    method: str
    a: float
    b: float
    note: str
    """What is unusual about the fit; mostly empty."""
    reliability: dict[Split, Reliability]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingEvaluation:
    """One finding, chosen on validation and measured on validation and test."""

    assessable: bool
    """False where validation or test has too few images of a class, or no threshold finds half of validation's
    positives."""
    reason: str
    """Why it is not assessable; empty where it is."""
    counts: dict[Split, Counts]
    metrics: dict[Split, Records]
    """Records of ``contracts.metrics.FINDING_METRICS``."""
    raw_half: dict[Split, Records] = field(default_factory=dict)
    """Sensitivity and specificity at an uncalibrated probability of 0.5, which decides nothing; format 1 has none."""
    calibration: Calibration | None
    """None where there is none; then there is no operating point either."""
    operating_points: dict[str, OperatingPoint]
    """By name; the only one is ``own`` where the model brings its decisions along."""
    unreached_points: dict[str, str] = field(default_factory=dict)
    """Operating point -> why validation has none of that name."""
    served_note: str = ""
    """Why another point serves than the recipe asks for; empty where it is the recipe's."""
    classification_report: str
    """scikit-learn's, of test at the served operating point, as text."""
    subgroups: tuple[SubgroupRow, ...]
    """Of test."""

    @property
    def served_point(self) -> OperatingPoint | None:
        """The served operating point; None where none could be chosen."""
        return next((point for point in self.operating_points.values() if point.served), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingValues:
    """What serving takes: probability = sigmoid(a * logit + b), positive from ``threshold`` on."""

    a: float
    b: float
    threshold: float
    operating_point: str | None
    """None where there is no chosen threshold."""
    reason: str
    """Why there is none; empty where there is one."""
