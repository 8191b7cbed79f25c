"""A difference of two shares over several findings taken together, with an interval that counts patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_tasks.contracts.evaluation.groups import StratifiedFacts
from cxr_tasks.statistics.intervals import Interval
from cxr_tasks.statistics.patients import effective_number, quantile_of


@dataclass(frozen=True, slots=True)
class Stratum:
    """The images of one finding, all arrays of shape ``(n,)``."""

    is_hit: np.ndarray
    patient: np.ndarray
    """Numbers from 0 on, the same in all strata: a patient may have images in several."""
    is_one: np.ndarray
    is_other: np.ndarray


@dataclass(frozen=True, slots=True)
class StratifiedDifference:
    """The share of hits among images ``one`` less that among images ``other``, over all strata."""

    value: float
    error: float
    """Standard error, by patient over all strata."""
    freedom: float
    """Degrees of freedom that the fewer or more unequal patients of both sides leave."""
    n_strata: int
    n: tuple[int, int]
    """Images of each side, counted in every stratum they are in."""
    n_patients: tuple[int, int]

    def interval(self, confidence: float) -> Interval:
        """Student's interval, within -1 to 1."""
        reach = quantile_of(confidence, self.freedom) * self.error
        method = f"Mantel-Haenszel {confidence * 100:g} % by patient, {self.n_strata} findings"
        return Interval(self.value, max(-1.0, self.value - reach), min(1.0, self.value + reach), method)

    def facts(self) -> StratifiedFacts:
        """All of it, as it stands in ``metrics.json``."""
        return StratifiedFacts(
            value=self.value, error=self.error, freedom=self.freedom, n_strata=self.n_strata, n=self.n,
            n_patients=self.n_patients,
        )  # fmt: skip

    @classmethod
    def of_facts(cls, facts: StratifiedFacts) -> StratifiedDifference:
        """The reverse of :meth:`facts`."""
        (one, other), (of_one, of_other) = facts.n, facts.n_patients
        return cls(facts.value, facts.error, facts.freedom, facts.n_strata, (one, other), (of_one, of_other))


def stratified_difference(strata: Sequence[Stratum]) -> StratifiedDifference | None:
    """The Mantel-Haenszel difference of two shares over ``strata`` (Greenland & Robins, Biometrics 41:55-68, 1985).

    Each stratum weighs ``n_one n_other / (n_one + n_other)``, so that a finding with few images on one side says little
    and a group whose findings are rarer is not compared with another mix of findings. Its error comes from the sums of
    each patient's residuals over all strata, each made larger by the patient's part of its side (Bell & McCaffrey,
    Survey Methodology 28:169-181, 2002): images of one patient, and findings of one image, go together as they do.
    Residuals are those around one difference for all strata, so that strata of single images are counted.

    95 % intervals covered 0.89 to 0.97 of 200 to 600 drawn splits each (14 findings of 1 to 20 % of the images, 300 to
    2,800 patients with a power law of images, 5 to 95 % of them in the group, shares of 0.8 and 0.9, differences of 0
    and -0.2, what is latent within a patient correlated by a half). Where few errors of few patients make it, it lies
    too high: its upper end was below the truth in up to 8 %, of 99.7 % intervals in at most 0.5 %; with 20 to 100
    images on one side, each of another patient, in up to 5 % and 1.5 % (without what ``_unseen`` adds: 36 and 15 %).

    None where no stratum has images on both sides, or a side is of one patient.
    """
    held = [stratum for stratum in strata if stratum.is_one.any() and stratum.is_other.any()]
    if not held:
        return None
    weights = np.array([_weight(stratum) for stratum in held]) / sum(_weight(stratum) for stratum in held)
    shares = np.array(
        [[stratum.is_hit[member].mean() for member in (stratum.is_one, stratum.is_other)] for stratum in held]
    )
    value = float(weights @ (shares[:, 0] - shares[:, 1]))
    n_patients = max(int(stratum.patient.max()) for stratum in held) + 1
    sums, parts, squares = np.zeros((2, n_patients)), np.zeros((2, n_patients)), np.zeros(2)
    for weight, stratum, share in zip(weights, held, shares, strict=True):
        expected = _expected(stratum, share, value)
        for side, (member, sign) in enumerate(((stratum.is_one, 1.0), (stratum.is_other, -1.0))):
            hits, patient, each = stratum.is_hit[member], stratum.patient[member], weight / np.count_nonzero(member)
            sums[side] += np.bincount(patient, weights=sign * each * (hits - expected[side]), minlength=n_patients)
            parts[side] += np.bincount(patient, minlength=n_patients) * each
            squares[side] += len(hits) * each**2
    counts = [int(np.count_nonzero(side)) for side in parts]
    if min(counts) < 2:
        return None
    # A patient with most of a side's images pulls its share along, which hides that patient's own residual.
    residual = (sums / np.sqrt(1.0 - parts)).sum(axis=0)
    beside = sum(_unseen(share, n) for share, n in zip(weights @ shares, 1.0 / squares, strict=True))
    freedom = min(effective_number(side) for side in parts) - 1.0
    n = [sum(int(np.count_nonzero(getattr(stratum, name))) for stratum in held) for name in ("is_one", "is_other")]
    return StratifiedDifference(
        value, math.sqrt(float((residual**2).sum()) + beside), max(freedom, 1.0), len(held), (n[0], n[1]),
        (counts[0], counts[1]),
    )  # fmt: skip


def _unseen(share: float, n: float) -> float:
    """The variance of a share that its own residuals do not show: a side without an error has none, and is not sure.

    That of the share with one hit and one miss added, where it is the larger (Agresti & Caffo, The American
    Statistician 54:280-288, 2000). ``n``: how many images of one weight the side is worth.
    """
    added = (share * n + 1.0) / (n + 2.0)
    return max(added * (1.0 - added) - share * (1.0 - share), 0.0) / n


def _expected(stratum: Stratum, shares: np.ndarray, value: float) -> tuple[float, float]:
    """The share that is expected of each side: the side with fewer images lies ``value`` from the other.

    Around its own share the only image of a finding has no residual, whatever it is.
    """
    if np.count_nonzero(stratum.is_one) <= np.count_nonzero(stratum.is_other):
        return float(shares[1] + value), float(shares[1])
    return float(shares[0]), float(shares[0] - value)


def _weight(stratum: Stratum) -> float:
    one, other = int(stratum.is_one.sum()), int(stratum.is_other.sum())
    return one * other / (one + other)
