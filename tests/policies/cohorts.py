"""Datasets by their real sizes, prevalences and published AUROCs, and predictions drawn as a model would make them.

What is not published is assumed, and said beside it. Sizes and prevalences: NIH's official lists (Wang et al., CVPR
2017), CheXpert's tables (Irvin et al., AAAI 2019), Kermany's folders (Cell 172, 2018); AUROCs: means of what networks
of the recipe's kind were published with.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import pandas as pd

NORMAL = NormalDist()
#: Scores of an image taken lying (AP) are higher, ill or not; assumed.
AP_SHIFT = 0.25


@dataclass(frozen=True)
class Cohort:
    """One dataset as the gate meets it; shares and AUROCs by finding."""

    model: str
    dataset: str
    validation: tuple[int, int]
    """Images, patients."""
    test: tuple[int, int]
    prevalence: Mapping[str, tuple[float, float]]
    """On validation, on test."""
    auroc: Mapping[str, tuple[float, float]]
    """On validation, on test."""
    target_sensitivity: float
    groups: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Column -> value -> share of the patients; ages as ``age_years``: first year of a band of 20."""
    missed: tuple[str, str] | None = None
    """The group that a model may miss: column and value; None where the data tell of none."""
    most_images: int = 1
    """Of one patient, at most. Without a limit one drawn patient had half of NIH's images, which none has."""
    alike: float = 0.5
    """Correlation of labels, and half of that of scores, between images of one patient; assumed."""

    @property
    def findings(self) -> tuple[str, ...]:
        return tuple(self.prevalence)


def distance(auroc: float) -> float:
    """Of the means of two normal distributions of width 1 that give this AUROC."""
    return NORMAL.inv_cdf(auroc) * 2**0.5


def draw(cohort: Cohort, seed: int, *, blind: str = "", missed: tuple[str, str] | None = None) -> pd.DataFrame:
    """Predictions on validation and test, as ``evaluate`` reads them.

    ``blind``: a finding whose scores know nothing. ``missed``: column and value of a group whose ill score as the
    healthy do, in validation as in test.
    """
    rng = np.random.default_rng([seed, 20261129])
    parts = [_split(cohort, place, rng, blind, missed) for place in (0, 1)]
    return pd.concat(parts, ignore_index=True)


def _split(
    cohort: Cohort, place: int, rng: np.random.Generator, blind: str, missed: tuple[str, str] | None
) -> pd.DataFrame:
    split, (n, n_patients) = ("validation", "test")[place], (cohort.validation, cohort.test)[place]
    patient = _patients(n, n_patients, cohort.most_images, rng)
    table: dict[str, object] = {
        "image_id": [f"{split}{i:06d}" for i in range(n)],
        "patient_key": np.char.add(split, np.char.zfill(patient.astype(str), 6)),
        "split": split,
        "source": "simulated",
    }
    for column in ("view", "sex", "age_years"):
        table[column] = _groups(column, cohort.groups.get(column), patient, n_patients, rng)
    lying = np.asarray(table["view"]) == "ap"
    out = np.zeros(n, bool) if missed is None else _member(table, *missed)
    alike = cohort.alike if n_patients < n else 0.0
    for finding in cohort.findings:
        prevalence, aurocs = cohort.prevalence[finding][place], cohort.auroc[finding]
        near, far = distance(aurocs[1]), distance(aurocs[0])
        here = (far, near)[place]
        # As many as there are: the test images of a published dataset are the same for every model.
        is_positive = np.argsort(np.argsort(-_shared(alike, patient, n_patients, rng))) < round(prevalence * n)
        score = _shared(alike / 2, patient, n_patients, rng) + AP_SHIFT * lying
        if finding != blind:
            # Where test is harder, its healthy look a little iller and its ill a little healthier.
            score = score + (far - here) / 2.0 + np.where(is_positive & ~out, here, 0.0)
        table[f"target_{finding}"] = is_positive.astype(float)
        # A network's own scale and offset; calibration is to take them out.
        table[f"logit_{finding}"] = 1.6 * score - 2.0
    return pd.DataFrame(table)


def _patients(n: int, n_patients: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """The patient of each image: a power law from 1 to ``most`` images a patient with the mean that the sizes tell."""
    sizes = np.arange(1, most + 1)
    counts = rng.choice(sizes, n_patients, p=_power_law(most, n / n_patients))
    while (missing := n - int(counts.sum())) != 0:
        step = 1 if missing > 0 else -1
        able = np.flatnonzero(counts < most if missing > 0 else counts > 1)
        counts[rng.choice(able, min(abs(missing), len(able)), replace=False)] += step
    return np.repeat(np.arange(n_patients), counts)


@functools.lru_cache(maxsize=32)
def _power_law(most: int, mean: float) -> np.ndarray:
    """Shares of 1 to ``most`` that fall with a power of the number and have this mean."""
    sizes = np.arange(1, most + 1)

    def shares(power: float) -> np.ndarray:
        weights = sizes**-power
        return weights / weights.sum()

    low, high = -5.0, 30.0
    for _ in range(100):
        middle = (low + high) / 2.0
        low, high = (middle, high) if float(shares(middle) @ sizes) > mean else (low, middle)
    return shares(low)


def _groups(
    column: str, shares: Mapping[str, float] | None, patient: np.ndarray, n_patients: int, rng: np.random.Generator
) -> np.ndarray:
    if not shares:
        return np.full(len(patient), np.nan) if column == "age_years" else np.full(len(patient), "unknown")
    drawn = rng.choice(list(shares), n_patients, p=list(shares.values()))[patient]
    return drawn.astype(float) + 5.0 if column == "age_years" else drawn


def _member(table: Mapping[str, object], column: str, value: str) -> np.ndarray:
    found = np.asarray(table[column])
    return found == (float(value) + 5.0 if column == "age_years" else value)


def _shared(alike: float, patient: np.ndarray, n_patients: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normal, images of one patient correlated by ``alike``."""
    own, common = rng.normal(size=len(patient)), rng.normal(size=n_patients)[patient]
    return np.sqrt(1.0 - alike) * own + np.sqrt(alike) * common


#: Finding -> positive images among NIH's 25,596 test images and among all 112,120, published AUROC (official split, the
#: mean over networks that reach a mean of 0.81 to 0.82).
_NIH = {
    "atelectasis": (3279, 11559, 0.776),
    "cardiomegaly": (1069, 2776, 0.879),
    "pleural_effusion": (4658, 13317, 0.831),
    "infiltration": (6112, 19894, 0.703),
    "mass": (1748, 5782, 0.833),
    "nodule": (1623, 6331, 0.770),
    "pneumonia": (555, 1431, 0.713),
    "pneumothorax": (2665, 5302, 0.868),
    "consolidation": (1815, 4667, 0.750),
    "edema": (925, 2303, 0.846),
    "emphysema": (1093, 2516, 0.915),
    "fibrosis": (435, 1686, 0.828),
    "pleural_thickening": (1143, 3385, 0.778),
    "hernia": (86, 227, 0.910),
}
#: Positive images of a part of NIH in shared test data: 180 test and 1,043 others.
_NIH_SAMPLE = {
    "atelectasis": (23, 124), "cardiomegaly": (14, 45), "pleural_effusion": (34, 102), "infiltration": (54, 179),
    "mass": (17, 48), "nodule": (11, 73), "pneumonia": (118, 266), "pneumothorax": (10, 33), "consolidation": (16, 67),
    "edema": (38, 50), "emphysema": (8, 32), "fibrosis": (10, 38), "pleural_thickening": (12, 61), "hernia": (13, 14),
}  # fmt: skip
#: Finding -> positive of the 202 frontal images of valid.csv, share of train.csv after the recipe's rules for uncertain
#: labels, published AUROC (of the five that the competition judges; the others assumed).
_CHEXPERT = {
    "no_finding": (26, 0.100, 0.88),
    "enlarged_cardiomediastinum": (105, 0.051, 0.65),
    "cardiomegaly": (66, 0.125, 0.840),
    "lung_opacity": (117, 0.485, 0.90),
    "lung_lesion": (1, 0.041, 0.75),
    "edema": (42, 0.292, 0.930),
    "consolidation": (32, 0.076, 0.900),
    "pneumonia": (8, 0.030, 0.75),
    "atelectasis": (75, 0.300, 0.840),
    "pneumothorax": (7, 0.088, 0.86),
    "pleural_effusion": (64, 0.407, 0.930),
    "pleural_other": (1, 0.016, 0.75),
    "fracture": (0, 0.041, 0.70),
    "support_devices": (99, 0.519, 0.93),
}
_HOSPITAL = {"sex": {"female": 0.44, "male": 0.56}, "view": {"ap": 0.45, "pa": 0.55},
             "age_years": {"0": 0.05, "20": 0.25, "40": 0.45, "60": 0.23, "80": 0.02}}  # fmt: skip


def _harder(test: float) -> tuple[float, float]:
    """AUROC on validation, which is easier by 0.035 in published runs of NIH, and on test."""
    return min(test + 0.035, 0.99), test


COHORTS = {
    "nih": Cohort(
        model="cxr_multilabel", dataset="nih", validation=(10_383, 3_361), test=(25_596, 2_797),
        prevalence={one: ((every - test) / 86_524, test / 25_596) for one, (test, every, _) in _NIH.items()},
        auroc={one: _harder(auroc) for one, (_, _, auroc) in _NIH.items()},
        # Follow-ups are numbered up to 183.
        target_sensitivity=0.9, groups=_HOSPITAL, missed=("age_years", "0"), most_images=184,
    ),
    "nih_sample": Cohort(
        model="cxr_multilabel", dataset="nih_sample", validation=(156, 127), test=(180, 125),
        prevalence={one: (rest / 1_043, test / 180) for one, (test, rest) in _NIH_SAMPLE.items()},
        auroc={one: _harder(auroc) for one, (_, _, auroc) in _NIH.items()},
        # As in that part.
        target_sensitivity=0.9, groups=_HOSPITAL, missed=("sex", "female"), most_images=8,
    ),
    "chexpert": Cohort(
        model="cxr_multilabel", dataset="chexpert", validation=(9_551, 3_150), test=(202, 200),
        prevalence={one: (train, test / 202) for one, (test, train, _) in _CHEXPERT.items()},
        # Radiologists' labels of valid.csv are not noisy as those of train.csv are: no harder than validation.
        auroc={one: (auroc, auroc) for one, (_, _, auroc) in _CHEXPERT.items()},
        target_sensitivity=0.9, groups={**_HOSPITAL, "view": {"ap": 0.84, "pa": 0.16}}, missed=("sex", "female"),
        # Most patients have few studies; how many the most have is assumed.
        most_images=60,
    ),
    "kermany": Cohort(
        model="cxr_binary", dataset="kermany", validation=(785, 420), test=(624, 500),
        prevalence={"pneumonia": (0.742, 0.625)},
        # Validation is cut from the training folder and far easier.
        auroc={"pneumonia": (0.995, 0.968)},
        # Of a fifth of the images, 30 of one patient in training, 9 in test.
        target_sensitivity=0.95, alike=0.3, most_images=20,
    ),
    "synthetic_binary": Cohort(
        model="cxr_binary", dataset="synthetic_binary", validation=(144, 120), test=(237, 200),
        prevalence={"pneumonia": (0.5, 0.5)}, auroc={"pneumonia": (0.990, 0.990)}, target_sensitivity=0.95,
        groups={"sex": {"female": 0.5, "male": 0.5}}, missed=("sex", "female"), alike=0.0, most_images=3,
    ),
    "synthetic_multilabel": Cohort(
        model="cxr_multilabel", dataset="synthetic_multilabel", validation=(165, 100), test=(389, 240),
        prevalence={one: (share, share) for one, share in zip(_NIH, np.linspace(0.19, 0.065, 14), strict=True)},
        auroc={one: (share, share) for one, share in zip(_NIH, np.linspace(0.985, 0.955, 14), strict=True)},
        target_sensitivity=0.9, groups={"sex": {"female": 0.5, "male": 0.5}, "view": {"ap": 0.4, "pa": 0.6}},
        missed=("sex", "female"), alike=0.2, most_images=4,
    ),
}  # fmt: skip
