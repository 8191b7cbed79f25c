"""Read a prepared dataset back and hold it against its index: what training will see is what was validated."""

from __future__ import annotations

import logging

import pandas as pd

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.labels import SPLITS, findings_of
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import RunPaths, relocated
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.installation.tensorflow_start import start_tensorflow
from cxr_tasks.validate.record import conclude

logger = logging.getLogger(__name__)


@room_for("validating the dataset", 16 * MIB)
def validate_prepared(prepared: PreparedDataset, recipe: Recipe, paths: RunPaths) -> ArtifactRef:
    """``validation.json`` of the stored dataset, in ``validate_prepared`` with its Data Docs beside it.

    Every stored example is read once, one at a time, and compared with its row of the index.

    Raises:
        ConfigurationError: The dataset was prepared for another vocabulary than the recipe's.
        DataDefect: A critical expectation is not met, a shard or the metadata cannot be read, or the index was
            changed.
    """
    if prepared.vocabulary != recipe.dataset.vocabulary:
        raise ConfigurationError(
            f"recipe {recipe.name}: expected a dataset of the vocabulary {recipe.dataset.vocabulary!r}, found "
            f"{prepared.vocabulary!r}; prepare it with this recipe"
        )
    start_tensorflow()
    from cxr_tasks.validate.checkpoint import CheckedTable, run_checkpoints
    from cxr_tasks.validate.stored_facts import open_stored, stored_facts
    from expectations.prepared import build_examples_suite, build_splits_suite
    from expectations.prepared_table import example_table, split_table

    index = pd.read_parquet(verified_path(prepared.index))
    findings = findings_of(prepared.vocabulary)
    builder = open_stored(relocated(prepared.folder))
    stored = {split: stored_facts(builder, split, findings) for split in SPLITS}
    declared = {"train": prepared.n_train, "validation": prepared.n_validation, "test": prepared.n_test}
    metadata = {name: int(info.num_examples) for name, info in builder.info.splits.items()}
    folder = paths.stage("validate_prepared")
    run = run_checkpoints(
        [
            CheckedTable(
                name="examples", table=example_table(index, stored, findings, prepared.size_px),
                suite=build_examples_suite(), row_key=("image_id", "split"),
            ),
            CheckedTable(
                name="splits", table=split_table(index, stored, declared=declared, metadata=metadata),
                suite=build_splits_suite(),
                row_key=("split", "n_declared", "n_indexed", "n_metadata", "n_stored"),
            ),
        ],
        data_docs=folder / "data_docs",
    )  # fmt: skip
    logger.info("Data Docs: %s", run.data_docs)
    return conclude(
        run.outcomes,
        folder / "validation.json",
        subject=f"dataset {prepared.dataset}, as stored",
        facts={
            "suites": ["prepared_examples", "prepared_splits"],
            "dataset": prepared.dataset,
            "fingerprint": prepared.fingerprint,
            "n_stored": {split: len(facts) for split, facts in stored.items()},
        },
        remedy=f"remove {prepared.folder} and prepare the dataset again",
    )
