"""How heat maps agree with marked boxes: pointing, overlap and energy, beside maps of chance."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from cxr_tasks.explain.maps import enlarged, share_interval


class MarkedBox(TypedDict):
    """Where a reader marked a finding: left upper corner and size, in pixels of the stored square."""

    finding: str
    x: float
    y: float
    width: float
    height: float


def box_mask(boxes: Sequence[MarkedBox], size_px: int) -> np.ndarray:
    """Which pixels of the stored square lie in any of ``boxes``: bool ``(size_px, size_px)``."""
    mask = np.zeros((size_px, size_px), bool)
    for box in boxes:
        left, top = (max(0, int(np.floor(edge))) for edge in (box["x"], box["y"]))
        right, bottom = int(np.ceil(box["x"] + box["width"])), int(np.ceil(box["y"] + box["height"]))
        mask[top:bottom, left:right] = True
    return mask


@dataclass(frozen=True, slots=True)
class Localisation:
    """How often the hottest place of a heat map lies in a marked box, and how often chance would put it there.

    Intervals count patients, as those of a sensitivity do (``shares.Share``).
    """

    n_images: int
    n_hits: int
    share: float
    lower: float
    upper: float
    random_share: float
    """Mean share of the image that the boxes cover: the hit rate of a place drawn at random."""
    heat_share: float
    """Mean share of all heat that lies in the boxes; ``random_share`` is what an even map would have."""
    n_empty: int
    """Images whose map is zero everywhere; they count as no hit."""
    control_hits: int = 0
    control_share: float | None = None
    """The same game played with maps of random numbers, as coarse and enlarged alike; None where none were given."""
    control_lower: float | None = None
    control_upper: float | None = None
    n_patients: int | None = None
    """Of the images; None in what was written before patients were counted, whose intervals took images as
    independent."""


def random_maps(n: int, cells: tuple[int, int], size_px: int, *, seed: int | list[int]) -> Iterator[np.ndarray]:
    """Heat that knows nothing: ``n`` maps of uniform random cells, enlarged as the model's are.

    Args:
        cells: Height and width of a map before it is enlarged.

    Yields:
        float32 ``(size_px, size_px)`` in [0, 1].
    """
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield enlarged(rng.random(cells), size_px)


def localisation(
    heats: Iterable[np.ndarray],
    masks: Iterable[np.ndarray],
    patient_keys: Iterable[str],
    confidence: float,
    controls: Iterable[np.ndarray] | None = None,
) -> Localisation | None:
    """The pointing game (Zhang et al., IJCV 126:1084, 2018, without tolerance) with its random control.

    Args:
        heats: float ``(size, size)`` each, of images in which the finding is marked; taken one by one.
        masks: bool, same shape: inside a box. Images without a marked pixel are left out.
        patient_keys: Whose each image is; those of one patient are counted together.
        controls: Another heat for each image, :func:`random_maps` for example.

    Returns:
        None where no image is marked.
    """
    hits, shares, covered, empty, control_hits, patients = [], [], [], [], [], []
    for heat, mask, key, control in zip(
        heats, masks, patient_keys, itertools.repeat(None) if controls is None else controls, strict=False
    ):
        if mask.any():
            hits.append(_points_into(heat, mask))
            shares.append(float(heat[mask].sum() / heat.sum()) if heat.sum() > 0 else 0.0)
            covered.append(float(mask.mean()))
            empty.append(not heat.any())
            patients.append(key)
            if control is not None:
                control_hits.append(_points_into(control, mask))
    if not hits:
        return None
    of_maps = share_interval(hits, patients, confidence)
    localisation = Localisation(
        n_images=len(hits),
        n_hits=sum(hits),
        share=of_maps.value,
        lower=of_maps.lower,
        upper=of_maps.upper,
        random_share=float(np.mean(covered)),
        heat_share=float(np.mean(shares)),
        n_empty=sum(empty),
        n_patients=len(set(patients)),
    )
    if not control_hits:
        return localisation
    of_chance = share_interval(control_hits, patients, confidence)
    return dataclasses.replace(
        localisation,
        control_hits=sum(control_hits),
        control_share=of_chance.value,
        control_lower=of_chance.lower,
        control_upper=of_chance.upper,
    )


def _points_into(heat: np.ndarray, mask: np.ndarray) -> bool:
    return bool(heat.max() > 0 and mask.flat[int(heat.argmax())])


def localisation_sentence(measured: Localisation) -> str:
    """The pointing game in words, with its interval, its n and chance beside it."""
    control = ""
    if measured.control_share is not None:
        control = (
            f"; the hottest place of a random map in {measured.control_hits} ({measured.control_share:.2f}, "
            f"{measured.control_lower:.2f} to {measured.control_upper:.2f})"
        )
    patients = "" if measured.n_patients is None else f" of {measured.n_patients} patients"
    return (
        f"the hottest place lies in a marked box in {measured.n_hits} of {measured.n_images} images{patients} "
        f"({measured.share:.2f}, {measured.lower:.2f} to {measured.upper:.2f}){control}; a place drawn at random would "
        f"in {measured.random_share:.2f}; {measured.heat_share:.2f} of all heat lies in the boxes"
    )
