"""Which numbers evaluation makes, and one of them with its interval and its n, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_tasks.contracts.shapes import plain

#: Records of one finding on one split (evaluate.measures) -> how a person reads them.
FINDING_METRICS = {
    "prevalence": "Prevalence",
    "auroc": "AUROC",
    "auroc_patient_bootstrap": "AUROC, patients resampled",
    "average_precision": "Average precision",
    "specificity_at_sensitivity": "Specificity at the target sensitivity",
    "brier_before": "Brier score before calibration",
    "ece_before": "Calibration error before calibration",
    "brier_after": "Brier score",
    "ece_after": "Calibration error",
}
#: Their means over findings (evaluate.means); of a single finding the two AUROCs alone.
MEAN_METRICS = {
    name: f"Mean {text[0].lower()}{text[1:]}" if text[1].islower() else f"Mean {text}"
    for name, text in FINDING_METRICS.items()
    if name != "specificity_at_sensitivity"
}
#: Records of calls at an operating point (evaluate.operating_points).
DECISION_METRICS = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "Accuracy",
    "f1": "F1",
}


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
    method: str = ""
    """How value and interval were made, for example ``DeLong 95 %``."""
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise ValueError(f"{self.name} of {self.finding}: a value or a reason is expected, found {plain(self)}")
