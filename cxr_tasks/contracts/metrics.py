"""One measured number, with its interval and its n, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_tasks.contracts.shapes import plain


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
