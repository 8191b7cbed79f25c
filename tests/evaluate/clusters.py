"""Simulated splits whose patients have as many images as NIH's, and whose images are alike within a patient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

IMAGES = np.arange(1, 185)
#: A power law from 1 to 184 with NIH's mean of 3.64 images a patient; 60 % of the patients have one (NIH: 57 %).
SHARE_OF_PATIENTS = IMAGES**-1.98367 / (IMAGES**-1.98367).sum()


@dataclass(frozen=True)
class Split:
    patient: np.ndarray
    positive: np.ndarray
    shared: np.ndarray
    """Of each image: what its patient's images have in common, standard normal."""
    rng: np.random.Generator

    def score(self, separation: float, correlation: float, also: np.ndarray | float = 0.0) -> np.ndarray:
        """Normal scores with AUROC Phi(separation / sqrt 2), of which ``correlation`` is common to a patient's images.

        ``also`` (standard normal, ``(n,)``) is a part of the image's own that another model sees as well; it makes up
        half of what is not common.
        """
        own = self.rng.normal(size=len(self.patient))
        if not np.isscalar(also):
            own = math.sqrt(0.5) * (own + also)
        return separation * self.positive + math.sqrt(correlation) * self.shared + math.sqrt(1 - correlation) * own


def truth_of(separation: float) -> float:
    return float(norm.cdf(separation / math.sqrt(2)))


def nih_like(rng: np.random.Generator, n_patients: int, prevalence: float, correlation: float) -> Split:
    """``correlation`` is that of what lies behind the labels; how many images a patient has says nothing of them."""
    patient = np.repeat(np.arange(n_patients), rng.choice(IMAGES, n_patients, p=SHARE_OF_PATIENTS))
    own, common, shared = rng.normal(size=len(patient)), rng.normal(size=n_patients), rng.normal(size=n_patients)
    behind = math.sqrt(correlation) * common[patient] + math.sqrt(1 - correlation) * own
    return Split(patient, behind < norm.ppf(prevalence), shared[patient], rng)


def nih_shares(rng: np.random.Generator, n_patients: int, share: float, correlation: float):
    """Patient of each image and whether it is a hit."""
    one = nih_like(rng, n_patients, share, correlation)
    return one.patient, one.positive
