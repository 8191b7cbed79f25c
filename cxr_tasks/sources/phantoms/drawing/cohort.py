"""Who is X-rayed and what they have: patients with follow-ups, findings that come together as they do in a hospital.

Findings are thresholds on normal scores: what an image shares with its patient and with related findings makes some
come together (fluid: edema, effusion, a wide heart; smoking: emphysema, masses). Thresholds are by rank, so shares
are exact in every split and the rarest finding is in each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cxr_tasks.contracts.labels import LabelState

#: Share of the images that show a finding: the order is that of NIH ChestX-ray14, the shares are raised, so that
#: 1,500 images hold some 90 of the rarest (NIH: 0.2 %, 3 images). The last three are drawn for CheXpert's labels.
PREVALENCES: dict[str, float] = {
    "infiltration": 0.19,
    "pleural_effusion": 0.17,
    "atelectasis": 0.15,
    "nodule": 0.12,
    "mass": 0.11,
    "pneumothorax": 0.11,
    "consolidation": 0.10,
    "pleural_thickening": 0.09,
    "cardiomegaly": 0.09,
    "emphysema": 0.08,
    "edema": 0.08,
    "fibrosis": 0.08,
    "pneumonia": 0.08,
    "hernia": 0.06,
    "enlarged_cardiomediastinum": 0.08,
    "fracture": 0.08,
    "support_devices": 0.30,
}
#: Findings that come together more often than by chance.
RELATED: dict[str, tuple[str, ...]] = {
    "fluid": ("pleural_effusion", "edema", "cardiomegaly", "enlarged_cardiomediastinum", "support_devices"),
    "closed_airways": ("atelectasis", "pleural_effusion", "infiltration", "consolidation"),
    "infection": ("pneumonia", "infiltration", "consolidation"),
    "smoking": ("emphysema", "nodule", "mass", "pneumothorax"),
    "scars": ("fibrosis", "pleural_thickening", "emphysema"),
    "fall": ("fracture", "pneumothorax"),
}
#: Parts of the score's variance: how ill the patient is, each group, the rest chance.
_ILLNESS, _GROUP = 0.15, 0.20
#: Of a patient's share in all these, what stays the same from one image to the next.
_LASTING = 0.7
_IMAGES_PER_PATIENT = ([1, 2, 3, 4], [0.5, 0.25, 0.15, 0.1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One image of one patient."""

    patient: int
    """From 1."""
    number: int
    """From 0 within the patient."""
    split: str
    sex: str
    age_years: int
    view: str
    """``pa`` or ``ap``."""
    states: Mapping[str, LabelState]
    """One per finding asked for: positive, negative or uncertain."""

    def has(self, finding: str) -> bool:
        return self.states[finding] is LabelState.POSITIVE

    @property
    def is_well(self) -> bool:
        """Whether nothing is found or suspected."""
        return all(state is LabelState.NEGATIVE for state in self.states.values())


def draw_cohort(
    n_images: int,
    seed: int,
    *,
    findings: tuple[str, ...],
    splits: Mapping[str, float],
    uncertain: Mapping[str, float] | None = None,
) -> list[Visit]:
    """``n_images`` visits in the order of their patients; each patient is in one split.

    Args:
        findings: Of ``PREVALENCES``.
        splits: Split -> share of the patients; they add up to 1.
        uncertain: Split -> how many images per finding are in doubt, as a share of its positives.
    """
    rng = np.random.default_rng([seed, 0, 1])
    counts = images_per_patient(n_images, rng, *_IMAGES_PER_PATIENT)
    split_of = _deal(len(counts), splits, rng)
    patients = np.repeat(np.arange(len(counts)), counts)
    scores = _scores(patients, findings, rng)
    states = np.full(scores.shape, LabelState.NEGATIVE, dtype=object)
    image_split = np.array(split_of)[patients]
    for split in splits:
        rows = np.flatnonzero(image_split == split)
        for column, finding in enumerate(findings):
            order = rows[np.argsort(-scores[rows, column], kind="stable")]
            n_positive = max(1, round(PREVALENCES[finding] * len(rows)))
            n_uncertain = round((uncertain or {}).get(split, 0.0) * n_positive)
            states[order[:n_positive], column] = LabelState.POSITIVE
            states[order[n_positive : n_positive + n_uncertain], column] = LabelState.UNCERTAIN
    return _visits(counts, split_of, findings, states, rng)


def images_per_patient(n_images: int, rng: np.random.Generator, sizes: list[int], shares: list[float]) -> list[int]:
    """How many images each patient has, ``n_images`` in all."""
    counts: list[int] = []
    left = n_images
    while left:
        counts.append(min(left, int(rng.choice(sizes, p=shares))))
        left -= counts[-1]
    return counts


def _deal(n_patients: int, splits: Mapping[str, float], rng: np.random.Generator) -> list[str]:
    """A split per patient, by exact shares; the first split takes what is left over."""
    first, *others = splits
    dealt = [split for split in others for _ in range(max(2, round(splits[split] * n_patients)))]
    dealt += [first] * (n_patients - len(dealt))
    return [str(split) for split in rng.permutation(dealt)]


def _scores(patients: np.ndarray, findings: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal scores, float (n_images, n_findings); higher is more ill."""

    def shared() -> np.ndarray:
        lasting = rng.standard_normal(patients.max() + 1)[patients]
        return np.sqrt(_LASTING) * lasting + np.sqrt(1 - _LASTING) * rng.standard_normal(len(patients))

    illness = shared()
    groups = {name: shared() for name in RELATED}
    columns = []
    for finding in findings:
        own = [groups[name] for name, related in RELATED.items() if finding in related]
        rest = 1 - _ILLNESS - _GROUP * len(own)
        score = np.sqrt(_ILLNESS) * illness + np.sqrt(rest) * shared()
        columns.append(score + np.sqrt(_GROUP) * np.sum(own, axis=0) if own else score)
    return np.stack(columns, axis=1)


def _visits(
    counts: list[int],
    split_of: list[str],
    findings: tuple[str, ...],
    states: np.ndarray,
    rng: np.random.Generator,
) -> list[Visit]:
    visits: list[Visit] = []
    for patient, (count, split) in enumerate(zip(counts, split_of, strict=True), start=1):
        sex = "male" if rng.random() < 0.56 else "female"
        age = int(np.clip(rng.normal(48, 17), 4, 94))
        for number in range(count):
            row = states[len(visits)]
            found = {finding: LabelState(state) for finding, state in zip(findings, row, strict=True)}
            n_positive = sum(state is LabelState.POSITIVE for state in row)
            # Who is too ill to stand is X-rayed in bed, from the front.
            view = "ap" if rng.random() < min(0.25 + 0.15 * n_positive, 0.8) else "pa"
            visits.append(
                Visit(patient=patient, number=number, split=split, sex=sex, age_years=age, view=view, states=found)
            )
            age += int(rng.random() < 0.3)
    return visits
