"""What the gate asks of a model: the typed parts of a policy's section."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from cxr_tasks.contracts.errors import ConfigurationError, nearest
from cxr_tasks.contracts.labels import VOCABULARIES
from cxr_tasks.contracts.metrics import (
    DECISION_METRICS,
    FINDING_METRICS,
    MEAN_METRICS,
    NO_RULE,
    TYPICALITY_METRICS,
)
from cxr_tasks.contracts.specs import in_range

#: The word that stands for every finding of the model.
ALL = "all"
_FLOORS = "at_least, lower_at_least or upper_at_least"
GAPS = ("sensitivity_gap", "specificity_gap")
_FINDINGS = sorted({finding for vocabulary in VOCABULARIES.values() for finding in vocabulary})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What is asked of one metric on test; exactly one of the six."""

    lower_at_least: float | None = None
    """Of the lower end of its interval; of the AUROC's two intervals, whichever reaches lower."""
    at_least: float | None = None
    """Of the value itself."""
    upper_at_least: float | None = None
    """Of the upper end of its interval, so that only what is shown to be lower is refused."""
    at_most: float | None = None
    upper_at_most: float | None = None
    reaches: tuple[float, float] | None = None
    """Some part of the interval lies in this range, so that only what is shown to lie outside is refused. For measures
    with a reference on both sides: calibration slope and intercept, expected to observed, Brier skill."""

    def __post_init__(self) -> None:
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        if len(given) != 1:
            names = [field.name for field in dataclasses.fields(self)]
            raise ConfigurationError(f"expected one of {', '.join(names)}, found {', '.join(given) or 'none'}")
        if self.reaches is not None:
            if len(self.reaches) != 2 or not -20.0 <= self.reaches[0] < self.reaches[1] <= 20.0:
                reaches = list(self.reaches)
                raise ConfigurationError(f"reaches: expected [LOW, HIGH] with -20 <= LOW < HIGH <= 20, found {reaches}")
            return
        for name, value in given.items():
            in_range(name, value, 0.0, 1.0)

    @property
    def side(self) -> Literal["value", "lower", "upper", "interval"]:
        """The part of a record that the bound is on."""
        if self.reaches is not None:
            return "interval"
        if self.lower_at_least is not None:
            return "lower"
        return "upper" if self.upper_at_most is not None or self.upper_at_least is not None else "value"

    @property
    def is_floor(self) -> bool:
        return any(limit is not None for limit in (self.lower_at_least, self.at_least, self.upper_at_least))

    @property
    def limit(self) -> float:
        """The one number of a bound that is no range."""
        (given,) = (value for value in dataclasses.astuple(self) if value is not None)
        return float(given)

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.is_floor else value <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessableSpec:
    """How many images, of how many patients, a finding must have, and which findings must have them."""

    least_positives: int = 20
    """Positive, and negative, test images. With 20, a sensitivity of 0.9 has an interval of 0.70 to 0.97."""
    least_patients: int = 10
    """Whose the positive, and the negative, test images are. 30 images of 2 patients tell of those two, whatever
    interval is made of them."""
    matters: tuple[str, ...] = (ALL,)
    """Findings that are not passed where they cannot be assessed."""
    others_missing: int = 0
    """How many of the other findings may lack images."""

    def __post_init__(self) -> None:
        in_range("least_positives", self.least_positives, 2, 1_000_000)
        in_range("least_patients", self.least_patients, 2, 1_000_000)
        in_range("others_missing", self.others_missing, 0, 100)
        _known("matters", self.matters, [ALL, *_FINDINGS])

    def concerns(self, finding: str) -> bool:
        return ALL in self.matters or finding in self.matters


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicesSpec:
    """No group of test images is worse than all others by more than a bound, with an interval that excludes zero."""

    by: tuple[Literal["sex", "age_years", "view", "source"], ...] = ("sex", "age_years", "view")
    least_images: int = 20
    """With the finding (for the sensitivity) or without it (for the specificity), in the group and outside it."""
    gaps: dict[str, float] = field(default_factory=lambda: {"sensitivity_gap": 0.10, "specificity_gap": 0.15})
    """How much worse is still taken as alike."""
    correction: Literal["simes", "bonferroni", "none"] = "simes"
    """``bonferroni``: all intervals hold together at the policy's confidence. 14 findings, two measures and nine groups
    make 252 intervals, six of which would be below zero by chance alone in a model that is the same for all. ``simes``:
    as often wrong, and a group that is worse in several findings is shown by all of them together (``gate.slices``)."""

    def __post_init__(self) -> None:
        in_range("least_images", self.least_images, 1, 1_000_000)
        _known("gaps", self.gaps, GAPS)
        for name, value in self.gaps.items():
            in_range(name, value, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionSpec:
    """Not worse than the champion, on the same test rows."""

    margin: float = 0.005
    """How much lower a mean AUROC is still taken as equal: the lower end of the interval of the difference must lie
    above its negative. Two seeds differ by about 0.003; a small test split needs a wider margin."""
    finding_margin: float = 0.02
    """The same for each of several findings, of which none may be shown to be worse by more."""
    alpha: float = 0.05
    """How often, at most, a model that is nowhere worse is refused for any finding (Holm's correction)."""

    def __post_init__(self) -> None:
        in_range("margin", self.margin, 0.0, 0.2)
        in_range("finding_margin", self.finding_margin, 0.0, 0.2)
        in_range("alpha", self.alpha, 0.001, 0.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSpec:
    """All that is asked of one model on one dataset."""

    mean: dict[str, Bound]
    """Means over findings; ``auroc`` must have a floor on its lower end."""
    findings: dict[str, Bound] = field(default_factory=dict)
    """Every finding that can be assessed."""
    by_finding: dict[str, dict[str, Bound]] = field(default_factory=dict)
    """Other bounds for single findings: finding -> metric -> bound instead of the one in ``findings``."""
    served: dict[str, Bound]
    """The served decision of every finding, at the threshold that was chosen on validation and is served;
    ``sensitivity`` must have a floor: a model that finds nearly nothing never serves. A finding with fewer than
    ``assessable.least_positives`` images is refused where its whole interval lies on the wrong side."""
    served_by_finding: dict[str, dict[str, Bound]] = field(default_factory=dict)
    """Other bounds on the served decision of single findings: finding -> metric -> bound instead of ``served``'s."""
    typicality: dict[str, Bound] = field(default_factory=dict)
    """How well pictures that it was not trained for are told from test X-rays (``contracts.metrics``)."""
    assessable: AssessableSpec = field(default_factory=AssessableSpec)
    slices: SlicesSpec = field(default_factory=SlicesSpec)
    champion: ChampionSpec = field(default_factory=ChampionSpec)
    confidence: float = 0.95
    """Of every interval; an evaluation with less is not relied on."""
    target_sensitivity: float = 0.95
    """What the operating point of that name aims at on validation; an evaluation that aims lower is not relied on."""

    def __post_init__(self) -> None:
        _known("mean", self.mean, _may_judge(MEAN_METRICS))
        _known("findings", self.findings, _may_judge(FINDING_METRICS))
        _known("by_finding", self.by_finding, _FINDINGS)
        for finding, bounds in self.by_finding.items():
            _known(f"by_finding.{finding}", bounds, _may_judge(FINDING_METRICS))
        _known("served", self.served, DECISION_METRICS)
        _known("served_by_finding", self.served_by_finding, _FINDINGS)
        for finding, bounds in self.served_by_finding.items():
            _known(f"served_by_finding.{finding}", bounds, DECISION_METRICS)
        _known("typicality", self.typicality, TYPICALITY_METRICS)
        if "auroc" not in self.mean or self.mean["auroc"].lower_at_least is None:
            raise ConfigurationError("mean.auroc.lower_at_least is missing: no model may pass without a floor")
        if "sensitivity" not in self.served:
            raise ConfigurationError(f"served.sensitivity: expected {_FLOORS}, found none")
        asked = {"served": self.served, **{f"served_by_finding.{k}": v for k, v in self.served_by_finding.items()}}
        for where, bounds in asked.items():
            if "sensitivity" in bounds and not bounds["sensitivity"].is_floor:
                raise ConfigurationError(f"{where}.sensitivity: expected {_FLOORS}, found none")
        in_range("confidence", self.confidence, 0.9, 0.999)
        in_range("target_sensitivity", self.target_sensitivity, 0.5, 0.999)

    @property
    def auroc_floor(self) -> float:
        return self.mean["auroc"].limit

    def with_floor(self, auroc_floor: float | None) -> GateSpec:
        """The same with another floor of the mean AUROC; ``None`` changes nothing."""
        if auroc_floor is None:
            return self
        return dataclasses.replace(self, mean={**self.mean, "auroc": Bound(lower_at_least=auroc_floor)})

    def bounds_of(self, finding: str) -> dict[str, Bound]:
        """Metric -> what is asked of it for ``finding``."""
        return {**self.findings, **self.by_finding.get(finding, {})}

    def served_of(self, finding: str) -> dict[str, Bound]:
        """Metric -> what is asked of it for the served decision of ``finding``."""
        return {**self.served, **self.served_by_finding.get(finding, {})}


def _may_judge(metrics: Iterable[str]) -> list[str]:
    return [name for name in metrics if name not in NO_RULE]


def _known(where: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for name in names:
        if name in NO_RULE and name not in known:
            raise ConfigurationError(f"{where}: {name!r} judges no model any more: {NO_RULE[name]}")
        if name not in known:
            raise ConfigurationError(f"{where}: {name!r} is not known{nearest(name, known)}; known: {', '.join(known)}")
