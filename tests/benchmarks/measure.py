"""Ratios of what is ours to a baseline, both measured in turns in one process, so that a busy machine slows both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every benchmark is given."""

    data_root: Path
    """X-rays in the Kermany layout."""
    scratch: Path
    """An empty folder of this benchmark's own, removed after the run."""
    is_quick: bool = False
    """Whether to do as little as shows that the benchmark runs; its figures then mean nothing."""

    @property
    def repetitions(self) -> int:
        return 1 if self.is_quick else 5

    @property
    def seconds_each(self) -> float:
        """Least time one measurement takes, for those that can be made longer."""
        return 0.1 if self.is_quick else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the result. ``ratio`` says how many times as fast as the baseline ours is, whatever the unit."""

    name: str
    unit: str
    ours: float
    baseline: float
    ratio: float
    """Median over the repetitions of the ratio of two measurements that followed each other."""
    ratio_lowest: float
    ratio_highest: float
    repetitions: int
    goal: float | None
    """Least ratio wanted; None where none is set."""
    ours_is: str
    baseline_is: str
    is_comparable: bool = True
    """Whether both sides did the same good; a faster way to a worse model meets no goal."""

    @property
    def is_met(self) -> bool | None:
        return None if self.goal is None else self.is_comparable and self.ratio >= self.goal

    def to_dict(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: round(one, 4) if isinstance(one, float) else one for name, one in plain.items()} | {
            "is_met": self.is_met
        }


def in_turns(sides: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, list[float]]:
    """What each side measured: one round that is dropped (tracing, caches), then ``repetitions`` rounds of A B A B."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repetitions + 1):
        for name, measure in sides.items():
            value = measure()
            if number:
                measured[name].append(value)
    return measured


def compare(
    name: str,
    *,
    ours: list[float],
    baseline: list[float],
    unit: str,
    ours_is: str,
    baseline_is: str,
    goal: float | None = None,
    less_is_better: bool = False,
    is_comparable: bool = True,
) -> Row:
    """The row of measurements that were made in turns; ``less_is_better`` for times, whose ratio is turned over.

    >>> row = compare("a", ours=[90, 100], baseline=[100, 100], unit="img/s", ours_is="", baseline_is="", goal=0.9)
    >>> row.ratio, row.ratio_lowest, row.is_met
    (0.95, 0.9, True)
    """
    pairs = zip(ours, baseline, strict=True)
    ratios = [theirs / mine if less_is_better else mine / theirs for mine, theirs in pairs]
    return Row(
        name=name,
        unit=unit,
        ours=statistics.median(ours),
        baseline=statistics.median(baseline),
        ratio=statistics.median(ratios),
        ratio_lowest=min(ratios),
        ratio_highest=max(ratios),
        repetitions=len(ratios),
        goal=goal,
        ours_is=ours_is,
        baseline_is=baseline_is,
        is_comparable=is_comparable,
    )


def rate(once: Callable[[], int], at_least_s: float = 0.0) -> float:
    """Images per second of ``once``, which says how many it did, called again until ``at_least_s`` have passed."""
    n_images = 0
    started = time.perf_counter()
    while True:
        n_images += once()
        elapsed = time.perf_counter() - started
        if elapsed >= at_least_s:
            return n_images / elapsed
