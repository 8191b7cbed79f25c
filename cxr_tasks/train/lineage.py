"""What a training's weights follow from: its own images, and those of the models that it starts from or learns from.

A model that begins with another's weights has seen that one's training images too. Had it seen images of this test
split, or patients of it, the test would say nothing; that is refused. What is told here stays with the model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.remarks import Remark
from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.datasets.content import content_of_splits, write_rows_of_content
from cxr_tasks.datasets.trained_on import ARTIFACT, SPLITS, trained_on
from cxr_tasks.registry.version_files import load_version
from cxr_tasks.train.weights.starting_weights import REGISTERED, WeightsOrigin

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def write_lineage(prepared: PreparedDataset, spec: TrainSpec, folder: Path) -> list[Remark]:
    """Write ``trained_on.parquet`` into ``folder``; what a reader of the model's numbers has to know of its ancestors.

    Raises:
        DataDefect: An ancestor was trained on test images of ``prepared``, or on images of their patients.
        NoSuchVersion, ServiceUnavailable: An ancestor in the registry is not to be had.
    """
    import pandas as pd

    parts: list[pd.DataFrame] = [content_of_splits(prepared, SPLITS)]
    remarks: list[Remark] = []
    if spec.keeps_weights:
        remarks.append(Remark("starting_weights", f"Nothing was trained: {spec.starting_weights} is calibrated anew."))
    for setting, name in _ancestors(spec):
        ancestor = _trained_on(name, folder)
        if isinstance(ancestor, str):
            remarks.append(Remark("starting_weights", f"{setting} is {name}: {ancestor}"))
            continue
        _require_unseen_test(prepared, ancestor, setting, name)
        remarks += _validation_remark(prepared, ancestor, setting, name)
        parts.append(ancestor)
    rows = pd.concat(parts, ignore_index=True).drop_duplicates(["file_sha256", "source", "patient_key"])
    write_rows_of_content(folder / ARTIFACT, rows)
    for remark in remarks:
        log.warning("%s", remark.sentence)
    return remarks


def _ancestors(spec: TrainSpec) -> Iterator[tuple[str, str]]:
    """Setting and name of each model that was trained on images of its own; ImageNet's and phantoms are no X-rays of
    patients."""
    if WeightsOrigin.of(spec).kind in ("registered", "file"):
        yield "train.starting_weights", spec.starting_weights
    if spec.labels.first_model:
        yield "train.labels.first_model", spec.labels.first_model


def _trained_on(name: str, folder: Path) -> pd.DataFrame | str:
    """The images that model ``name`` was trained on, or why they are not known."""
    unknown = "what it was trained on is not recorded here, so it may have seen images of this test split."
    match = REGISTERED.fullmatch(name)
    if not match:
        return unknown
    work = folder / "ancestors" / f"{match['name']}-{match['version']}"
    loaded = load_version(match["name"], int(match["version"]), work)
    try:
        return trained_on(loaded, work)
    except DataDefect as error:
        return f"{unknown} {error}."


def _require_unseen_test(prepared: PreparedDataset, seen: pd.DataFrame, setting: str, name: str) -> None:
    from cxr_tasks.datasets.leaks import overlap_of

    overlap = overlap_of(content_of_splits(prepared, ["test"]), seen)
    if overlap.n_seen:
        raise DataDefect(
            f"{setting}: expected a model that has not seen the test images of {prepared.dataset}: "
            f"{overlap.sentence('test images', name)} Take other weights, or none"
        )
    log.info("%s: %s", setting, overlap.sentence("test images", name))


def _validation_remark(prepared: PreparedDataset, seen: pd.DataFrame, setting: str, name: str) -> list[Remark]:
    """That what was chosen on validation may look better than it is, where the ancestor learnt from those images."""
    from cxr_tasks.datasets.leaks import overlap_of

    learnt = seen[seen["split"] == "train"]
    overlap = overlap_of(content_of_splits(prepared, ["validation"]), learnt)
    if not overlap.n_seen:
        return []
    told = overlap.sentence("validation images", f"{name} ({setting})")
    chosen = "The epoch, the calibration and the thresholds were chosen on images that are not new to the model."
    return [Remark("starting_weights", f"{told} {chosen}")]
