"""Run a Great Expectations suite over a table in memory, and build its Data Docs."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

# Importing the library under Airflow's logging prints about 160 lines of no use; and it must not call home.
os.environ["GX_ANALYTICS_ENABLED"] = "false"
logging.getLogger("great_expectations").setLevel(logging.WARNING)

import great_expectations as gx  # noqa: E402
import pandas as pd  # noqa: E402

from cxr_tasks.validate.offline_docs import make_self_contained  # noqa: E402
from cxr_tasks.validate.outcomes import KEPT_ROWS, Outcome, outcome_of  # noqa: E402

_DOCS_SITE = "data_docs"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRun:
    """What a suite found in a table, and where its Data Docs begin."""

    suite: str
    outcomes: tuple[Outcome, ...]
    data_docs: Path


def run_checkpoint(
    table: pd.DataFrame, suite: gx.ExpectationSuite, *, name: str, row_key: str, data_docs: Path
) -> CheckpointRun:
    """Every expectation's outcome on ``table``; offending rows are told by the column ``row_key``.

    The context lives in memory and belongs to this call: file contexts shared by two runs overwrite each other
    (great_expectations issue 8294). ``data_docs`` is emptied and filled with static HTML.
    """
    # This one has a level of its own, set while it is imported.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    asset = context.data_sources.add_pandas(name).add_dataframe_asset("manifest")
    batch = asset.add_batch_definition_whole_dataframe("all")
    validation = gx.ValidationDefinition(name=name, data=batch, suite=context.suites.add(suite))
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=name,
            validation_definitions=[context.validation_definitions.add(validation)],
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": [row_key] if row_key in table.columns else [],
                "partial_unexpected_count": KEPT_ROWS,
            },
        )
    )
    result = checkpoint.run(batch_parameters={"dataframe": table})
    (only,) = result.run_results.values()
    return CheckpointRun(
        suite=str(suite.name),
        outcomes=tuple(outcome_of(one.to_json_dict()) for one in only.results),
        data_docs=_build_docs(context, data_docs),
    )


def _build_docs(context: gx.data_context.EphemeralDataContext, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    site = {
        "class_name": "SiteBuilder",
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
    }
    context.add_data_docs_site(_DOCS_SITE, site)  # type: ignore[arg-type]
    context.build_data_docs(site_names=[_DOCS_SITE])
    make_self_contained(folder)
    return folder / "index.html"
