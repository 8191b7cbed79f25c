"""Shares of images, such as a sensitivity, and differences of two, with intervals that count patients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.evaluation.groups import ComparisonFacts, ShareFacts
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.statistics.intervals import Interval, correlated_difference, score_interval
from cxr_tasks.statistics.patients import effective_number, left_by_clusters, quantile_of

#: With a product of independent images and distance of the share from 0 or 1 below this, few errors make the interval.
FEW_ERRORS = 4.0
#: There patients' errors are taken to go together at least as if so many more patients
#: with errors had been seen, half of whose errors go together.
UNSEEN, UNSEEN_CORRELATION = 4.0, 0.5


@dataclass(frozen=True, slots=True)
class Share:
    """``hits`` of ``n`` images, and how many independent images those are worth."""

    hits: int
    n: int
    n_patients: int
    n_effective: float
    """``n`` over the design effect; ``n`` where each patient has one image."""
    freedom: float = math.inf
    """Degrees of freedom left of those of independent images; infinite where each patient has one image."""

    @classmethod
    def independent(cls, hits: int, n: int) -> Share:
        """Of images of which no two are of one patient."""
        return cls(int(hits), int(n), int(n), float(n))

    @classmethod
    def of(cls, is_hit: np.ndarray, patient: np.ndarray) -> Share:
        """The share of ``True`` in ``is_hit``, bool ``(n,)``, of the patients numbered ``patient``, int ``(n,)``.

        The design effect is the variance of the share by patient over that of independent images (Rao & Scott,
        Biometrics 48:577-585, 1992; Obuchowski, Statistics in Medicine 17:1495-1507, 1998), each patient's error made
        larger by the patient's weight (Bell & McCaffrey, Survey Methodology 28:169-181, 2002), and never below 1.
        Its degrees of freedom follow from how unequal the patients' parts in the variance are (Satterthwaite).

        95 % intervals of :meth:`interval` covered, with NIH's numbers of images a patient (mean 3.64, at most 184) and
        a correlation of 0, 0.3 and 0.7 of what is latent within a patient; in brackets Wilson's by image:

        ============= ================= ================= =================
        true share    150 patients      600 patients      Wilson, 600
        ============= ================= ================= =================
        0.50          0.98, 0.97, 0.98  0.96, 0.97, 0.97  0.95, 0.54, 0.36
        0.80          0.97, 0.97, 0.97  0.96, 0.96, 0.95  0.95, 0.57, 0.37
        0.90          0.99, 0.98, 0.97  0.97, 0.96, 0.95  0.95, 0.65, 0.42
        0.97          1.00, 1.00, 0.99  0.99, 0.99, 0.98  0.95, 0.75, 0.51
        ============= ================= ================= =================

        Where few errors make it (upper right to lower left) it covers more than it says, up to 1.00: how far errors go
        together within a patient cannot be seen in three of them, and is assumed (``UNSEEN``). That is the price, not
        the form of the interval: a mid-P interval of as many images covered 0.99 to 1.00 in the same places, and 0.92
        at 0.97 of 100 independent images, where Wilson's covers 0.97.
        """
        n, hits = len(is_hit), int(np.count_nonzero(is_hit))
        if n == 0:
            return cls.independent(0, 0)
        all_each = np.bincount(patient)
        hits_each = np.bincount(patient, weights=is_hit)[all_each > 0]
        each = all_each[all_each > 0].astype(float)
        if len(each) == n:
            return cls.independent(hits, n)
        effect, correlation = _design_effect(hits_each, each)
        parts = each * (1.0 + (each - 1.0) * correlation)
        freedom = left_by_clusters(effective_number(parts), n)
        return cls(hits, n, len(each), n / effect, freedom)

    @classmethod
    def of_record(cls, record: MetricRecord) -> Share | None:
        """That of a record of a proportion in ``metrics.json``; None where it has no value.

        Records of before patients were counted have images alone, which then count as independent.
        """
        if record.value is None or record.n_positive is None:
            return None
        return cls.of_facts(
            ShareFacts(
                hits=record.n_positive, n=record.n, n_patients=record.n_patients, n_effective=record.n_effective,
                freedom=record.freedom,
            )
        )  # fmt: skip

    @classmethod
    def of_facts(cls, facts: ShareFacts) -> Share:
        """The reverse of :meth:`facts`; images count as independent where it says nothing of patients."""
        if facts.n_effective is None or facts.n_patients is None:
            return cls.independent(facts.hits, facts.n)
        freedom = math.inf if facts.freedom is None else facts.freedom
        return cls(facts.hits, facts.n, facts.n_patients, facts.n_effective, freedom)

    def facts(self) -> ShareFacts:
        """All of it, as it stands in ``metrics.json``."""
        return ShareFacts(
            hits=self.hits, n=self.n, n_patients=self.n_patients, n_effective=self.n_effective,
            freedom=None if math.isinf(self.freedom) else self.freedom,
        )  # fmt: skip

    @property
    def is_clustered(self) -> bool:
        """Whether a patient has several of the images."""
        return self.n_patients < self.n

    def interval(self, confidence: float) -> Interval:
        """Wilson's score interval (JASA 22:209-212, 1927) of ``confidence``, in (0, 1), of as many images as these are
        worth.

        Raises:
            UndefinedMetric: There are no images.
        """
        if self.n == 0:
            raise UndefinedMetric("a proportion of 0 images has no value")
        method = f"Wilson {confidence * 100:g} %{' by patient' if self.is_clustered else ''}"
        q = quantile_of(confidence, self.freedom)
        return score_interval(self.hits / self.n, self.n_effective, q, method)


def _design_effect(hits: np.ndarray, each: np.ndarray) -> tuple[float, float]:
    """The design effect, and the correlation within patients that it stands for; ``hits`` of ``each`` images.

    Where few errors make it, or none, it cannot be told from them: it is then at least what ``UNSEEN`` says.
    """
    n, share = float(each.sum()), float(hits.sum() / each.sum())
    most = float((each**2).sum()) / n
    alone = share * (1.0 - share) / (n - 1.0)
    variance = float(((hits - share * each) ** 2 / (1.0 - each / n)).sum()) / n**2 if len(each) > 1 else math.inf
    effect = most if alone <= 0.0 or len(each) < 2 else max(1.0, variance / alone)
    correlation = min(1.0, (effect - 1.0) / (most - 1.0))
    rarer = hits if share < 0.5 else each - hits
    if effective_number(each) * min(share, 1.0 - share) < FEW_ERRORS and len(each) > 1:
        seen = np.count_nonzero(rarer)
        correlation = (seen * correlation + UNSEEN * UNSEEN_CORRELATION) / (seen + UNSEEN)
        effect = max(effect, 1.0 + (most - 1.0) * correlation)
    return effect, correlation


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two shares of different images, some of which may be of the same patients."""

    one: Share
    other: Share
    correlation: float = 0.0
    """Of the errors of both shares; 0 where no patient has images on both sides."""

    @classmethod
    def of(cls, is_hit: np.ndarray, patient: np.ndarray, is_one: np.ndarray, is_other: np.ndarray) -> Comparison:
        """Of the images ``is_one`` with the images ``is_other``, all arrays of shape ``(n,)``."""
        one, other = (Share.of(is_hit[member], patient[member]) for member in (is_one, is_other))
        if not one.n or not other.n:
            return cls(one, other)
        n = int(patient.max()) + 1
        errors = [
            np.bincount(patient[member], weights=is_hit[member] - is_hit[member].mean(), minlength=n)
            for member in (is_one, is_other)
        ]
        size = math.sqrt(float((errors[0] ** 2).sum() * (errors[1] ** 2).sum()))
        return cls(one, other, float(errors[0] @ errors[1]) / size if size > 0.0 else 0.0)

    @classmethod
    def of_facts(cls, facts: ComparisonFacts) -> Comparison:
        """The reverse of :meth:`facts`."""
        return cls(Share.of_facts(facts.one), Share.of_facts(facts.other), facts.correlation)

    def facts(self) -> ComparisonFacts:
        """All of it, as it stands in ``metrics.json``."""
        return ComparisonFacts(one=self.one.facts(), other=self.other.facts(), correlation=self.correlation)

    def difference(self, confidence: float) -> Interval:
        """The first less the second with Newcombe's hybrid score interval (Statistics in Medicine 17:873-890, 1998,
        method 10), from both shares' intervals; errors that both have in common are taken off (Zou & Donner, the same
        27:1693-1702, 2008).

        Raises:
            UndefinedMetric: A side is empty.
        """
        is_clustered = self.one.is_clustered or self.other.is_clustered
        method = f"Newcombe {confidence * 100:g} %{' by patient' if is_clustered else ''}"
        return correlated_difference(
            self.one.interval(confidence), self.other.interval(confidence), self.correlation, method
        )
