"""The suites as JSON beside their code: read by people and other tools, written by ``python -m expectations``."""

from __future__ import annotations

import json
from pathlib import Path

from cxr_tasks.contracts.labels import VOCABULARIES
from cxr_tasks.installation.storage.files import write_text

FOLDER = Path(__file__).resolve().parent


def suite_texts() -> dict[str, str]:
    """File name -> JSON text of each suite."""
    from expectations.manifest import build_manifest_suite
    from expectations.manifest_tables import (
        build_counts_suite,
        build_drift_suite,
        build_findings_suite,
        build_shortcuts_suite,
    )
    from expectations.predictions import build_coverage_suite, build_predictions_suite
    from expectations.prepared import build_examples_suite, build_splits_suite

    suites = [
        *(build_manifest_suite(vocabulary) for vocabulary in VOCABULARIES),
        build_findings_suite(1),
        build_findings_suite(14),
        build_shortcuts_suite(),
        build_drift_suite(),
        build_counts_suite(),
        build_examples_suite(),
        build_splits_suite(),
        *(build_predictions_suite(vocabulary) for vocabulary in VOCABULARIES),
        build_coverage_suite(),
    ]
    return {f"{suite.name}.json": json.dumps(suite.to_json_dict(), indent=2) + "\n" for suite in suites}


def write_suites(folder: Path = FOLDER) -> list[Path]:
    """Write every suite's JSON into ``folder``; the paths written."""
    written = []
    for name, text in suite_texts().items():
        write_text(folder / name, text)
        written.append(folder / name)
    return written
