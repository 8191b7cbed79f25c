"""A registered model on a dataset of another source, over the findings that both know."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.artifacts import read_json, write_json
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs import PreparedDataset
from cxr_tasks.contracts.labels import findings_of, shared_findings
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.serving_contract import ServingContract
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.contracts.space import MIB, room_for
from cxr_tasks.tensorflow_start import start_tensorflow

log = logging.getLogger(__name__)


@room_for("evaluating", 8 * MIB)
def evaluate_elsewhere(
    model_path: Path,
    contract: ServingContract,
    recipe: Recipe,
    prepared: PreparedDataset,
    folder: Path,
    *,
    own: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Metrics (the shape of ``assess.assess``) of a model on validation and test of a dataset it was not trained on.

    Calibration and thresholds are the model's own, chosen where it was trained: what is measured is the model as it
    would serve there. ``datasets.<split>`` holds a row of it beside the own dataset's, with the gaps between them
    (``datasets.dataset_rows``); empty where ``own`` is None. Leaves ``predictions.parquet`` and ``metrics.json`` in
    ``folder`` and a table in the log.

    Args:
        model_path: The ``.keras`` file of ``contract``; both as ``registry.versions.load_version`` gives them.
        recipe: What the model was trained by: its vocabulary, label policies and ``evaluate`` settings.
        prepared: The other dataset, with the same pixel settings.
        own: Metrics of the model on the dataset it was trained on, where they are kept.

    Raises:
        DataDefect: No finding is shared, the pixels differ, or the dataset is the one the model was trained on.
    """
    shared = shared_by(contract, recipe, prepared)
    start_tensorflow()
    import pandas as pd

    from cxr_tasks.evaluate.assess import SPLITS, assess
    from cxr_tasks.evaluate.datasets import dataset_rows
    from cxr_tasks.evaluate.predict import load_model, logits_of, predictions_table, stored_split, write_predictions
    from cxr_tasks.evaluate.stage import readable

    folder.mkdir(parents=True, exist_ok=True)
    theirs = findings_of(prepared.vocabulary)
    of_model, of_dataset = ([all_of.index(one) for one in shared] for all_of in (contract.findings, theirs))
    model = load_model(model_path, size_px=prepared.size_px, n_findings=len(contract.findings))
    parts = []
    for split in SPLITS:
        stored = stored_split(prepared, split, theirs, folder, labels=recipe.train.labels)
        logits = logits_of(model, stored.images)[:, of_model]
        parts.append(predictions_table(stored.rows, shared, stored.labels[:, of_dataset], logits))
    table = pd.concat(parts, ignore_index=True)
    write_predictions(table, folder / "predictions.parquet")
    metrics = assess(table, shared, recipe.evaluate, own={one.finding: one for one in contract.decisions})
    names = contract.dataset, prepared.dataset
    metrics["datasets"] = {
        split: dataset_rows(own, names[0], metrics, names[1], split) for split in SPLITS if own is not None
    }
    metrics["model"] = {
        "model_name": contract.model_name,
        "recipe": contract.recipe,
        "recipe_sha256": contract.recipe_sha256,
        "trained_on": contract.dataset,
        "dataset": prepared.dataset,
        "dataset_fingerprint": prepared.fingerprint,
        "size_px": prepared.size_px,
    }
    write_json(folder / "metrics.json", metrics)
    heading = f"{contract.model_name}, trained on {contract.dataset}, on {prepared.dataset}"
    log.info("%s, %d shared findings\n%s", heading, len(shared), readable(metrics))
    return metrics


def shared_by(contract: ServingContract, recipe: Recipe, prepared: PreparedDataset) -> tuple[str, ...]:
    """The findings to measure, in the model's order; ``DataDefect`` where this model and dataset do not go together."""
    if recipe.findings != contract.findings:
        raise DataDefect(
            f"recipe {recipe.name}: expected the model's findings {', '.join(contract.findings)}, found "
            f"{', '.join(recipe.findings)}"
        )
    if prepared.dataset == contract.dataset:
        raise DataDefect(
            f"expected another dataset than {contract.dataset}, on which the model was trained: its images may have "
            "been in the training split; evaluation of the run itself has kept them apart"
        )
    pixels = read_json(Path(prepared.folder) / "provenance.json")["pixels"]
    if pixels != plain(contract.pixels):
        raise DataDefect(
            f"{prepared.folder}: expected pixels as the model was trained on, {plain(contract.pixels)}, found "
            f"{pixels}; prepare the dataset with those"
        )
    shared = shared_findings(recipe.dataset.vocabulary, prepared.vocabulary)
    if not shared:
        raise DataDefect(
            f"the model knows {', '.join(contract.findings)}; {prepared.dataset} labels "
            f"{', '.join(findings_of(prepared.vocabulary))}: no finding is shared"
        )
    return shared
