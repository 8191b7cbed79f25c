"""Explain one model on its test images: heat maps of chosen examples, and how maps agree with marked boxes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.explain.localise import Localisation, localisation_sentence
from cxr_tasks.installation.storage.changes import write_bytes
from cxr_tasks.installation.storage.files import write_json
from cxr_tasks.installation.tensorflow_start import start_tensorflow

if TYPE_CHECKING:
    import pandas as pd

    from cxr_tasks.explain.chosen_images import Chosen
    from cxr_tasks.explain.heat_maps import HeatMaps

log = logging.getLogger(__name__)

#: At most this many marked images are scored for localisation; the rest adds time and little certainty.
MAX_MARKED = 2000
CONTROL_SEED = 20261123
KEY_LENGTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One test image with its heat map, told by a number and a key instead of its id."""

    number: int
    key: str
    """8 hex digits, keyed by this installation's secret: image ids can hold a source's patient numbers."""
    finding: str
    kind: str
    why: str
    probability: float
    threshold: float
    is_positive: bool
    is_called: bool
    heat_is_empty: bool
    """Nothing in the image speaks for the finding, so the map is zero everywhere."""
    has_box: bool
    picture: str
    """Path of the PNG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanations:
    """All examples of one model, and the localisation of each finding with boxes."""

    examples: tuple[Example, ...]
    localisation: dict[str, Localisation]
    map_cells: tuple[int, ...]
    """Height and width of a heat map before it is enlarged."""
    rule: str = ""
    """How the findings with examples were chosen; empty where all have some."""

    @classmethod
    def from_dict(cls, mapping: dict[str, Any]) -> Explanations:
        return build(cls, mapping, "explanations")


def explain_model(
    model_path: Path,
    predictions_path: Path,
    evaluation: Evaluation,
    prepared: PreparedDataset,
    findings: Sequence[str],
    *,
    folder: Path,
    n_confident: int | None = None,
    n_near: int | None = None,
) -> Explanations:
    """Heat maps of true and false positives and negatives at the served operating point, from the test split.

    Leaves ``example-<n>.png`` and ``explanations.json`` (what is returned) in ``folder``. A finding without a served
    operating point has no examples; of many findings a few are shown (``chosen_images.choose_findings``), so that a
    page holds them. Localisation is measured for every finding with boxes.

    Args:
        n_confident: Images of each kind called with most confidence; 2, or 1 where several findings are shown.
        n_near: Images of each kind nearest the threshold; 1, or none where several findings are shown.

    Raises:
        DataDefect: Model, predictions or dataset are not what they were, or do not fit each other.
    """
    start_tensorflow()
    from cxr_tasks.datasets.load import stored_split
    from cxr_tasks.evaluate.table import read_predictions
    from cxr_tasks.explain.cam import GradCam
    from cxr_tasks.explain.chosen_images import choose_findings
    from cxr_tasks.explain.heat_maps import HeatMaps, KnownMaps
    from cxr_tasks.train.networks.saved import load_model

    folder.mkdir(parents=True, exist_ok=True)
    model = load_model(model_path, size_px=prepared.size_px, n_findings=len(findings))
    predictions = read_predictions(predictions_path, findings)
    stored = stored_split(prepared, "test", findings, folder)
    maps = KnownMaps(GradCam(model), stored)
    shown, rule = choose_findings(evaluation)
    several = len(shown) > 1
    n_confident, n_near = (
        (1 if several else 2) if n_confident is None else n_confident,
        (0 if several else 1) if n_near is None else n_near,
    )
    examples: list[Example] = []
    localised = {}
    for output, finding in enumerate(findings):
        heats = HeatMaps(maps, output)
        if finding in shown:
            chosen = _chosen(predictions, evaluation, finding, n_confident, n_near)
            examples += _examples(
                finding, chosen, heats, evaluation.serving[finding].threshold, folder,
                first_number=len(examples) + 1, fingerprint=prepared.fingerprint,
            )  # fmt: skip
        if (localisation := _localised(heats, finding, evaluation.confidence)) is not None:
            localised[finding] = localisation
    explanations = Explanations(examples=tuple(examples), localisation=localised, map_cells=maps.cam.cells, rule=rule)
    write_json(folder / "explanations.json", plain(explanations))
    log.info("%d examples explained, maps of %s cells", len(examples), " x ".join(map(str, maps.cam.cells)))
    for finding, localisation in localised.items():
        log.info("%s: %s", finding, localisation_sentence(localisation))
    return explanations


def _chosen(
    predictions: pd.DataFrame, evaluation: Evaluation, finding: str, n_confident: int, n_near: int
) -> list[Chosen]:
    from cxr_tasks.evaluate.table import scored
    from cxr_tasks.explain.chosen_images import choose_examples
    from cxr_tasks.statistics.calibration import Platt

    serving = evaluation.serving[finding]
    if serving.operating_point is None:
        return []
    rows = scored(predictions, "test", finding)
    probability = Platt(serving.a, serving.b).probabilities(rows.logit)
    return choose_examples(rows, probability, serving.threshold, n_confident=n_confident, n_near=n_near)


def _examples(
    finding: str,
    chosen: Sequence[Chosen],
    heats: HeatMaps,
    threshold: float,
    folder: Path,
    *,
    first_number: int,
    fingerprint: str,
) -> list[Example]:
    from cxr_tasks.explain.overlays import overlay_png
    from cxr_tasks.installation.patient_keys import patient_key, patient_secret

    images, heat = heats.of([image.image_id for image in chosen])
    boxes, secret = heats.boxes(finding), patient_secret()
    examples = []
    for place, image in enumerate(chosen):
        number = first_number + place
        path = folder / f"example-{number}.png"
        write_bytes(path, overlay_png(images[place], heat[place], boxes.get(image.image_id, [])))
        examples.append(
            Example(
                number=number,
                key=patient_key(image.image_id, salt=fingerprint, secret=secret)[:KEY_LENGTH],
                finding=finding,
                kind=image.kind,
                why=image.why,
                probability=image.probability,
                threshold=threshold,
                is_positive=image.kind in {"true_positive", "false_negative"},
                is_called=image.kind in {"true_positive", "false_positive"},
                heat_is_empty=not heat[place].any(),
                has_box=image.image_id in boxes,
                picture=str(path),
            )
        )
    return examples


def _localised(heats: HeatMaps, finding: str, confidence: float) -> Localisation | None:
    from cxr_tasks.explain.localise import box_mask, localisation, random_maps

    marked = dict(list(heats.boxes(finding).items())[:MAX_MARKED])
    if not marked:
        return None
    size_px = heats.stored.images.shape[1]
    masks = (box_mask(boxes, size_px) for boxes in marked.values())
    patients = dict(zip(heats.stored.rows["image_id"], heats.stored.rows["patient_key"], strict=True))
    keys = (str(patients[image_id]) for image_id in marked)
    controls = random_maps(len(marked), heats.maps.cam.cells, size_px, seed=[CONTROL_SEED, heats.output])
    return localisation(heats.heat_by_part(list(marked)), masks, keys, confidence, controls)
