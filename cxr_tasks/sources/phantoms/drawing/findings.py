"""The findings that can be drawn onto a chest, each by the function that draws its sign."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cxr_tasks.sources.phantoms.drawing import findings_diffuse, findings_extra, findings_focal, findings_pleura
from cxr_tasks.sources.phantoms.drawing.anatomy import Anatomy, Layers
from cxr_tasks.sources.phantoms.drawing.places import seen

Sign = Callable[[Anatomy, Layers, np.random.Generator], list[np.ndarray]]

#: Finding -> what draws it. The place in this table feeds the finding's own stream of random numbers: append only.
SIGNS: dict[str, Sign] = {
    "atelectasis": findings_focal.atelectasis,
    "cardiomegaly": findings_diffuse.cardiomegaly,
    "pleural_effusion": findings_pleura.pleural_effusion,
    "infiltration": findings_focal.infiltration,
    "mass": findings_focal.mass,
    "nodule": findings_focal.nodule,
    "pneumonia": findings_focal.pneumonia,
    "pneumothorax": findings_pleura.pneumothorax,
    "consolidation": findings_focal.consolidation,
    "edema": findings_diffuse.edema,
    "emphysema": findings_diffuse.emphysema,
    "fibrosis": findings_diffuse.fibrosis,
    "pleural_thickening": findings_pleura.pleural_thickening,
    "hernia": findings_diffuse.hernia,
    "enlarged_cardiomediastinum": findings_extra.enlarged_cardiomediastinum,
    "fracture": findings_extra.fracture,
    "support_devices": findings_extra.support_devices,
}


def draw_sign(
    finding: str, strength: float, anatomy: Anatomy, layers: Layers, rng: np.random.Generator
) -> list[np.ndarray]:
    """The changes of attenuation by ``finding``, one per box, float32 (height, width), exactly 0 outside.

    ``strength`` scales them: 1 is a clear case, 0.4 one that a reader would call uncertain.
    """
    changes = (seen(np.float32(strength) * change) for change in SIGNS[finding](anatomy, layers, rng))
    return [change for change in changes if change.any()]
