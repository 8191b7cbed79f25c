"""What an interval is, and those of a proportion, of a difference of two, and on the logit scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.statistics.patients import (
    quantile_of,
)


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the bounds of its interval and how they were made."""

    value: float
    lower: float
    upper: float
    method: str

    @classmethod
    def of_record(cls, record: MetricRecord | None) -> Interval | None:
        """That of a record of ``metrics.json``; None where there is none, or it has no value or no interval."""
        if record is None or record.value is None or record.lower is None or record.upper is None:
            return None
        return cls(record.value, record.lower, record.upper, record.method)


def z_of(confidence: float) -> float:
    """Half-width of a two-sided interval of ``confidence``, in (0, 1), in standard deviations; 1.96 for 0.95."""
    return quantile_of(confidence)


def logit_scale_interval(
    value: float, variance: float, confidence: float, method: str, freedom: float = math.inf
) -> Interval:
    """``value`` in (0, 1) with the normal interval of its logit (Student's with ``freedom``), which stays in (0, 1)."""
    centre, spread = math.log(value / (1.0 - value)), math.sqrt(variance) / (value * (1.0 - value))
    z = quantile_of(confidence, freedom)
    return Interval(value, _expit(centre - z * spread), _expit(centre + z * spread), method)


def wilson(n_hits: int, n: int, confidence: float) -> Interval:
    """A proportion of independent images with Wilson's score interval (JASA 22:209-212, 1927); right at 0 and 1 too.

    Of images of which several are of one patient: ``shares.Share``.

    Raises:
        UndefinedMetric: ``n`` is 0.
    """
    if n == 0:
        raise UndefinedMetric("a proportion of 0 images has no value")
    return score_interval(n_hits / n, n, z_of(confidence), f"Wilson {confidence * 100:g} %")


def score_interval(share: float, n: float, quantile: float, method: str) -> Interval:
    """Wilson's interval of ``share`` in [0, 1] that was seen in ``n`` independent images, or in as much as those."""
    z = quantile
    scale = 1.0 + z * z / n
    centre = (share + z * z / (2.0 * n)) / scale
    reach = z / scale * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    # At 0 and 1 the bound equals the share; rounding must not put it beside it.
    lower = 0.0 if share == 0.0 else max(0.0, centre - reach)
    upper = 1.0 if share == 1.0 else min(1.0, centre + reach)
    return Interval(share, lower, upper, method)


def independent_difference(one: Interval, other: Interval, method: str) -> Interval:
    """The value of ``one`` less that of ``other``, which is of other patients; its interval comes from both bounds.

    Each side's interval may be lopsided; at values near 0 or 1 it should be. Source: Zou & Donner, Statistics in
    Medicine 27:1693-1702 (2008), of which Newcombe's method 10 is the case of two Wilson intervals.
    """
    return correlated_difference(one, other, 0.0, method)


def correlated_difference(one: Interval, other: Interval, correlation: float, method: str) -> Interval:
    """:func:`independent_difference` where the errors of both have ``correlation``, in [-1, 1], as with
    patients on both sides."""
    difference = one.value - other.value
    sides = (one.value - one.lower, other.upper - other.value), (one.upper - one.value, other.value - other.lower)
    # hypot where there is no correlation, so that the known formula's bounds come out to the last bit.
    down, up = (
        math.hypot(a, b) if correlation == 0.0 else math.sqrt(max(0.0, a * a + b * b - 2.0 * correlation * a * b))
        for a, b in sides
    )
    return Interval(difference, difference - down, difference + up, method)


def _expit(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value)) if value >= 0 else math.exp(value) / (1.0 + math.exp(value))
