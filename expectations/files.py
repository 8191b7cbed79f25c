"""The suites as JSON beside their code: read by people and other tools, written by ``python -m expectations``."""

from __future__ import annotations

import json
from pathlib import Path

from cxr_tasks.contracts.artifacts import write_text
from cxr_tasks.contracts.labels import findings_of

FOLDER = Path(__file__).resolve().parent
#: Vocabularies that a recipe uses; others are built in code when needed.
VOCABULARIES_WITH_FILES = ("pneumonia",)


def suite_texts() -> dict[str, str]:
    """File name -> JSON text of each suite."""
    from expectations.manifest import build_manifest_suite

    suites = [build_manifest_suite(findings_of(vocabulary)) for vocabulary in VOCABULARIES_WITH_FILES]
    return {f"{suite.name}.json": json.dumps(suite.to_json_dict(), indent=2) + "\n" for suite in suites}


def write_suites(folder: Path = FOLDER) -> list[Path]:
    """Write every suite's JSON into ``folder``; the paths written."""
    written = []
    for name, text in suite_texts().items():
        write_text(folder / name, text)
        written.append(folder / name)
    return written
