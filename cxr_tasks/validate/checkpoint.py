"""Run Great Expectations suites over tables in memory, and build their Data Docs."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Importing the library under Airflow's logging prints about 160 lines of no use; and it must not call home.
os.environ["GX_ANALYTICS_ENABLED"] = "false"
logging.getLogger("great_expectations").setLevel(logging.WARNING)

import great_expectations as gx  # noqa: E402
import pandas as pd  # noqa: E402

from cxr_tasks.installation.storage.changes import remove_tree  # noqa: E402
from cxr_tasks.validate.escaped import escape_results  # noqa: E402
from cxr_tasks.validate.offline_docs import drop_unused, make_self_contained  # noqa: E402
from cxr_tasks.validate.outcomes import KEPT_ROWS, Outcome, outcome_of  # noqa: E402

_DOCS_SITE = "data_docs"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTable:
    """A table, the suite it is held against, and the columns that tell its rows in logs."""

    name: str
    """What the table is of, as one word: images, findings, ..."""
    table: pd.DataFrame
    suite: gx.ExpectationSuite
    row_key: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRun:
    """What came of each expectation, and where the Data Docs begin."""

    outcomes: tuple[Outcome, ...]
    data_docs: Path


def run_checkpoints(checked: Sequence[CheckedTable], *, data_docs: Path) -> CheckpointRun:
    """Every expectation's outcome on its table, in the order of ``checked``; one set of Data Docs over all of them.

    The context lives in memory and belongs to this call: file contexts shared by two runs overwrite each other
    (great_expectations issue 8294). ``data_docs`` is emptied and filled with static HTML.
    """
    context = memory_context()
    outcomes = outcomes_in(context, checked)
    return CheckpointRun(outcomes=outcomes, data_docs=_build_docs(context, data_docs))


def memory_context() -> gx.data_context.EphemeralDataContext:
    """A context that nothing else knows of and that leaves no file."""
    # This one has a level of its own, set while it is imported.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    return context


def outcomes_in(context: gx.data_context.EphemeralDataContext, checked: Sequence[CheckedTable]) -> tuple[Outcome, ...]:
    """Every expectation's outcome on its table, in the order of ``checked``; the results stay in ``context``."""
    tables = context.data_sources.add_pandas("tables")
    outcomes: list[Outcome] = []
    for subject in checked:
        batch = tables.add_dataframe_asset(subject.name).add_batch_definition_whole_dataframe("all")
        validation = gx.ValidationDefinition(name=subject.name, data=batch, suite=context.suites.add(subject.suite))
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name=subject.name,
                validation_definitions=[context.validation_definitions.add(validation)],
                # COMPLETE would keep every failing row in memory and in the Data Docs; counts are exact here too.
                result_format={
                    "result_format": "SUMMARY",
                    "unexpected_index_column_names": [
                        name for name in subject.row_key if name in subject.table.columns
                    ],
                    "partial_unexpected_count": KEPT_ROWS,
                },
            )
        )
        result = checkpoint.run(batch_parameters={"dataframe": subject.table})
        (only,) = result.run_results.values()
        outcomes += (outcome_of(result.to_json_dict(), subject.name) for result in only.results)
    return tuple(outcomes)


def _build_docs(context: gx.data_context.EphemeralDataContext, folder: Path) -> Path:
    remove_tree(folder, even_if_stuck=True)
    escape_results(context)
    site = {
        "class_name": "SiteBuilder",
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)},
    }
    context.add_data_docs_site(_DOCS_SITE, site)  # type: ignore[arg-type]
    context.build_data_docs(site_names=[_DOCS_SITE])
    make_self_contained(folder)
    drop_unused(folder)
    return folder / "index.html"
