"""Which numbers evaluation makes, and one of them with its interval and its n, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.shapes import plain

#: Records of one finding on one split (evaluate.measures) -> how a person reads them.
FINDING_METRICS = {
    "prevalence": "Prevalence",
    "auroc": "AUROC",
    "auroc_patient_bootstrap": "AUROC, patients resampled",
    "average_precision": "Average precision",
    "specificity_at_sensitivity": "Specificity at the target sensitivity, read off this split's own curve",
    "brier_before": "Brier score before calibration",
    "ece_before": "Calibration error before calibration",
    "brier_after": "Brier score",
    "ece_after": "Calibration error",
    "brier_skill": "Brier skill against the prevalence",
    "ece_relative": "Calibration error relative to the prevalence",
    "calibration_intercept": "Calibration intercept",
    "calibration_slope": "Calibration slope",
    "expected_observed": "Expected to observed positives",
    "prevalence_shift": "Shift of prevalence since calibration (log odds)",
    "calibration_beyond_shift": "Calibration intercept beyond the shift of prevalence",
}
#: Of one finding alone: a mean of signed errors would let two findings cancel.
OF_ONE_FINDING = (
    "specificity_at_sensitivity",
    "calibration_intercept",
    "calibration_slope",
    "expected_observed",
    "prevalence_shift",
    "calibration_beyond_shift",
)
#: Their means over findings (evaluate.means, evaluate.decided); of a single finding the two AUROCs alone.
MEAN_METRICS = {
    name: f"Mean {text[0].lower()}{text[1:]}" if text[1].islower() else f"Mean {text}"
    for name, text in FINDING_METRICS.items()
    if name not in OF_ONE_FINDING
}
#: Not for the gate, and what it asks for instead: name -> why, and the name to ask for.
NO_RULE = {
    "specificity_at_sensitivity": "it reads a new threshold off the test split, which nothing serves; ask for the "
    "served decision instead: served: {specificity: {at_least: ...}}",
    **dict.fromkeys(
        ("ece_before", "ece_after", "ece_relative"),
        "a calibration error has no reference: what a right model shows depends on prevalence and number of images; "
        "ask for calibration_beyond_shift and calibration_slope instead: {reaches: [LOW, HIGH]}",
    ),
}
#: Records of calls at an operating point (evaluate.operating_points).
DECISION_METRICS = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "Accuracy",
    "alarm_rate": "Share of images called positive",
    "f1": "F1",
}
#: Pictures that a model was not trained for (evaluate.typicality.strange) -> how a person reads them.
STRANGE_PICTURES = {
    "inverted": "X-rays with black and white exchanged",
    "quarter_turn": "X-rays turned by a quarter",
    "upside_down": "X-rays upside down",
    "noise": "noise",
    "shapes": "drawn shapes over a gradient",
    "photographs": "parts of two photographs",
    "phantoms": "drawn X-rays",
}
#: Records of typicality (evaluate.typicality.measure).
TYPICALITY_METRICS = {
    "unusual_test": "Share of test X-rays called unusual",
    **{kind: f"AUROC of typicality, test X-rays against {words}" for kind, words in STRANGE_PICTURES.items()},
    **{f"unusual_{kind}": f"Share called unusual of {words}" for kind, words in STRANGE_PICTURES.items()},
}


class Bounds(NamedTuple):
    """A number and its interval; a list of three in JSON.

    Shares are in [0, 1], and differences of shares in [-1, 1].
    """

    value: float
    lower: float
    upper: float

    @property
    def leaves_out_zero(self) -> bool:
        return not self.lower <= 0.0 <= self.upper


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRecord:
    """A metric of one finding (or ``mean``) on one split.

    ``value`` is None exactly when ``reason`` says why; ``lower`` and ``upper`` bound the interval where there is one.
    """

    name: str
    finding: str
    split: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    n: int
    n_positive: int | None = None
    n_patients: int | None = None
    """Whose the ``n`` images are; the interval counts them, not the images."""
    n_effective: float | None = None
    """Of a proportion: how many independent images the ``n`` are worth (statistics.shares)."""
    freedom: float | None = None
    """Of a proportion: degrees of freedom left to its interval; None where they have no limit."""
    method: str = ""
    """How value and interval were made, for example ``DeLong 95 %``."""
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise ValueError(f"{self.name} of {self.finding}: a value or a reason is expected, found {plain(self)}")

    @property
    def bounds(self) -> Bounds:
        """Value and interval; ``UndefinedMetric`` where there is none."""
        if self.value is None or self.lower is None or self.upper is None:
            why = self.reason or "it has no interval"
            raise UndefinedMetric(f"{self.name} of {self.finding} on {self.split}: {why}")
        return Bounds(self.value, self.lower, self.upper)


Records = tuple[MetricRecord, ...]


def record_of(records: Iterable[MetricRecord], name: str) -> MetricRecord:
    """The record called ``name`` among ``records``; ``KeyError`` names it where there is none."""
    for record in records:
        if record.name == name:
            return record
    raise KeyError(name)


def by_name(records: Iterable[MetricRecord]) -> dict[str, MetricRecord]:
    """Name -> record."""
    return {record.name: record for record in records}
