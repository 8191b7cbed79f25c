"""``provenance.json``: what a prepared dataset was made of, by what, what was found of it, and what is missing."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import platform
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.dataset_files import Provenance, SplitFacts
from cxr_tasks.contracts.handoffs.dataset import ValidatedStudies
from cxr_tasks.contracts.plain_text import write_spreadsheet
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.datasets.content import CONTENT_FILE
from cxr_tasks.datasets.latest import LATEST_FILE, latest_dataset
from cxr_tasks.images.version import PREPARE_VERSION
from cxr_tasks.installation.storage.files import replaced_file, sha256_file, write_json
from cxr_tasks.installation.storage.paths import datasets_root

if TYPE_CHECKING:
    from cxr_tasks.images.decode import LeftOut

PACKAGES = ("tensorflow", "tensorflow-datasets", "numpy", "pandas", "pillow", "pydicom")


def write_provenance(
    folder: Path,
    validated: ValidatedStudies,
    recipe: Recipe,
    fingerprint: str,
    left_out: list[LeftOut],
    splits: SplitFacts,
) -> None:
    """Write ``provenance.json`` and ``left_out.csv``; last, as a folder with a provenance is taken as complete.

    ``splits`` says which rule made the test split and whom it moved (``split_facts``).
    """
    with replaced_file(folder / "left_out.csv") as aside, open(aside, "w", newline="", encoding="utf-8") as stream:
        write_spreadsheet(stream, ("image_id", "reason"), ((image.image_id, image.reason) for image in left_out))
    provenance: Provenance = {
        "dataset": recipe.dataset.name,
        "fingerprint": fingerprint,
        "previous_fingerprint": _previous_fingerprint(recipe.dataset.name),
        "vocabulary": recipe.dataset.vocabulary,
        "pixels": plain(recipe.pixels),
        "root": validated.root,
        "manifest_sha256": validated.manifest.sha256,
        "validation": {
            "n_expectations": validated.n_expectations,
            "n_warnings": validated.n_warnings,
            "sha256": validated.validation.sha256,
        },
        "quarantine": quarantine_counts(Path(validated.manifest.uri).with_name("quarantine.csv")),
        "index_sha256": sha256_file(folder / "index.parquet"),
        "content_sha256": sha256_file(folder / CONTENT_FILE),
        "splits": splits,
        "recipe": recipe.name,
        "recipe_sha256": recipe.sha256,
        "settings": {
            "dataset": plain(recipe.dataset),
            "split": plain(recipe.split),
            "pixels": plain(recipe.pixels),
        },
        "n_left_out": len(left_out),
        "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {
            "prepare": PREPARE_VERSION,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
    }
    write_json(folder / "provenance.json", provenance)


def quarantine_counts(path: Path) -> dict[str, int] | None:
    """Files that ingest refused, by reason, the commonest first; None where there is no table beside the manifest."""
    if not path.is_file():
        return None
    with open(path, newline="", encoding="utf-8") as stream:
        counts = Counter(row["reason"] for row in csv.DictReader(stream))
    return dict(sorted(counts.items(), key=lambda count: (-count[1], count[0])))


def _previous_fingerprint(name: str) -> str | None:
    """The version whose splits known patients kept; None for the first."""
    if not (datasets_root() / name / LATEST_FILE).is_file():
        return None
    return latest_dataset(name).fingerprint
