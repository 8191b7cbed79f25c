"""A registered model on a dataset of another source, over the findings that both know."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.evaluation.evaluation import Evaluation, ModelFacts
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.labels import findings_of, shared_findings
from cxr_tasks.contracts.metrics import record_of
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.remarks import Remark, remark_lines
from cxr_tasks.contracts.serving_contract import ServingContract
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.datasets.content import content_of_splits
from cxr_tasks.datasets.leaks import Overlap, overlap_of
from cxr_tasks.evaluate.reuse import record_test_read, reuse_remark
from cxr_tasks.installation.storage.files import read_json, sha256_file, write_json
from cxr_tasks.installation.storage.paths import relocated
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.installation.tensorflow_start import start_tensorflow
from cxr_tasks.registry.persons import Person

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


@room_for("evaluating", 8 * MIB)
def evaluate_elsewhere(
    model_path: Path,
    contract: ServingContract,
    recipe: Recipe,
    prepared: PreparedDataset,
    folder: Path,
    *,
    seen: pd.DataFrame,
    own: Evaluation | None = None,
    model_sha256: str = "",
    version: int | None = None,
    who: str | Person = "airflow",
) -> Evaluation:
    """Every number of a model on validation and test of a dataset it was not trained on.

    Images that the model has seen in training, or of patients it has seen, are left out of both splits whatever the
    dataset is called; ``remarks`` say how many and by what they were known (``datasets.leaks``), and the how-manyth
    model on these test images it is (``evaluate.reuse``).

    Calibration and thresholds are the model's own, chosen where it was trained: what is measured is the model as it
    would serve there. ``datasets.<split>`` holds a row of it beside the own dataset's, with the gaps between them
    (``side_by_side.dataset_rows``); empty where ``own`` is None. Leaves ``predictions.parquet`` and ``metrics.json`` in
    ``folder`` and a table in the log.

    Args:
        model_path: The ``.keras`` file of ``contract``; both as ``registry.version_files.load_version`` gives them.
        recipe: What the model was trained by: its vocabulary, label policies and ``evaluate`` settings.
        prepared: The other dataset, with the same pixel settings.
        seen: The images it was trained on (``datasets.trained_on``).
        own: Those of the model on the dataset it was trained on, where they are kept.
        model_sha256: Of the file that was registered, by which its looks at test images are counted; of ``model_path``
            where it is empty.

    Raises:
        DataDefect: No finding is shared, the pixels differ, the dataset is the one the model was trained on, or no test
            image is left that the model has not seen.
    """
    shared = shared_by(contract, recipe, prepared)
    start_tensorflow()
    import pandas as pd

    from cxr_tasks.datasets.load import stored_split
    from cxr_tasks.evaluate.assess import SPLITS, assess
    from cxr_tasks.evaluate.elsewhere.side_by_side import dataset_rows
    from cxr_tasks.evaluate.predict import predictions_table, write_predictions
    from cxr_tasks.evaluate.stage import readable
    from cxr_tasks.train.networks.saved import load_model, logits_of

    folder.mkdir(parents=True, exist_ok=True)
    theirs = findings_of(prepared.vocabulary)
    of_model, of_dataset = ([all_of.index(finding) for finding in shared] for all_of in (contract.findings, theirs))
    model = load_model(model_path, size_px=prepared.size_px, n_findings=len(contract.findings))
    parts = []
    looks = {split: content_of_splits(prepared, [split]) for split in SPLITS}
    overlaps = {split: overlap_of(content, seen) for split, content in looks.items()}
    _require_unseen(overlaps["test"], contract, prepared)
    unseen = {split: looks[split].loc[~overlap.is_seen, "image_id"] for split, overlap in overlaps.items()}
    read = record_test_read(
        looks["test"][~overlaps["test"].is_seen], purpose="elsewhere", model_name=contract.model_name, version=version,
        model_sha256=model_sha256 or sha256_file(model_path), dataset=prepared.dataset,
        fingerprint=prepared.fingerprint, who=who,
    )  # fmt: skip
    for split in SPLITS:
        stored = stored_split(prepared, split, theirs, folder, labels=recipe.train.labels)
        logits = logits_of(model, stored.images)[:, of_model]
        part = predictions_table(stored.rows, shared, stored.labels[:, of_dataset], logits)
        parts.append(part[part["image_id"].isin(unseen[split])])
    table = pd.concat(parts, ignore_index=True)
    write_predictions(table, folder / "predictions.parquet")
    evaluation = assess(
        table, shared, recipe.evaluate, own={decision.finding: decision for decision in contract.decisions}
    )
    names = contract.dataset, prepared.dataset
    reuse = reuse_remark(read, record_of(evaluation.mean["test"], "auroc"), evaluation.confidence)
    evaluation = dataclasses.replace(
        evaluation,
        datasets={
            split: dataset_rows(own, names[0], evaluation, names[1], split) for split in SPLITS if own is not None
        },
        test_use=read,
        seen_in_training={split: overlap.n_seen for split, overlap in overlaps.items()},
        remarks=(*_leak_remarks(overlaps), reuse),
        model=ModelFacts(
            model_name=contract.model_name,
            recipe=contract.recipe,
            recipe_sha256=contract.recipe_sha256,
            trained_on=contract.dataset,
            dataset=prepared.dataset,
            dataset_fingerprint=prepared.fingerprint,
            size_px=prepared.size_px,
        ),
    )
    write_json(folder / "metrics.json", evaluation.to_json())
    heading = f"{contract.model_name}, trained on {contract.dataset}, on {prepared.dataset}"
    told = "\n".join([readable(evaluation), *remark_lines(evaluation.remarks)])
    log.info("%s, %d shared findings\n%s", heading, len(shared), told)
    return evaluation


def _require_unseen(test: Overlap, contract: ServingContract, prepared: PreparedDataset) -> None:
    if test.is_seen.all():
        raise DataDefect(
            f"{prepared.dataset}: expected test images that {contract.model_name} was not trained on, found none: "
            f"{test.sentence('test images', f'the model, trained on {contract.dataset},')}"
        )


def _leak_remarks(overlaps: Mapping[str, Overlap]) -> list[Remark]:
    """What was left out of which split; one remark that says nothing was, where nothing was."""
    told = [
        Remark("leak", f"Left out: {overlap.sentence(f'{split} images', 'the model')}")
        for split, overlap in overlaps.items()
        if overlap.n_seen
    ]
    return told or [Remark("leak", overlaps["test"].sentence("test images", "the model"))]


def shared_by(contract: ServingContract, recipe: Recipe, prepared: PreparedDataset) -> tuple[str, ...]:
    """The findings to measure, in the model's order; ``DataDefect`` where this model and dataset do not go together."""
    if recipe.findings != contract.findings:
        raise DataDefect(
            f"recipe {recipe.name}: expected the model's findings {', '.join(contract.findings)}, found "
            f"{', '.join(recipe.findings)}"
        )
    if prepared.fingerprint == contract.dataset_fingerprint:
        raise DataDefect(
            f"expected another dataset than {contract.dataset} {prepared.fingerprint[:16]}, the very one that the "
            "model was trained on: its numbers there stand on its MLflow run, where the splits were kept apart"
        )
    pixels = read_json(relocated(prepared.folder) / "provenance.json")["pixels"]
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
