"""The reference profile of a manifest: what later versions of the same dataset are held against.

Plain JSON of counts: nothing in it tells of one image. Histograms carry their edges, so a profile can be read and
compared by a later release whose edges differ from today's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import SPLITS, LabelState, findings_of, label_column
from cxr_tasks.installation.storage.files import read_json
from cxr_tasks.installation.storage.paths import datasets_root

FORMAT = 1
#: File name in the folder of a prepared dataset.
REFERENCE_NAME = "reference_profile.json"
WORDS = ("view", "sex", "source", "file_format", "mode", "bit_depth")


def _edges() -> dict[str, np.ndarray]:
    """Statistic -> inner edges of its bins; what lies beyond the outermost has a bin at either end."""
    shares = np.linspace(0.02, 0.98, 49)
    sizes = np.geomspace(64, 8192, 43)
    return {
        "mean": shares,
        "deviation": np.linspace(0.01, 0.49, 49),
        "entropy": np.linspace(0.2, 7.8, 39),
        "sharpness": np.geomspace(1e-6, 1.0, 49),
        "border_fraction": np.concatenate([[1e-9], shares]),
        "width_px": sizes,
        "height_px": sizes,
        "age_years": np.arange(5.0, 100.0, 5.0),
    }


def profile_of(manifest: pd.DataFrame, dataset: str, vocabulary: str) -> dict[str, Any]:
    """Counts, label states, words and image statistics of ``manifest``, ready for JSON.

    ``statistics``: per column ``edges`` (inner, ascending) and ``counts`` (one more than edges; bin i holds values
    from edge i-1 up to below edge i) and ``n_unknown``.
    """
    return {
        "format": FORMAT,
        "dataset": dataset,
        "vocabulary": vocabulary,
        "counts": {
            "images": len(manifest),
            "patients": int(manifest["patient_id"].nunique()),
            **{f"images in {split}": int((manifest["split"] == split).sum()) for split in SPLITS},
        },
        "labels": {
            finding: _counts(manifest[label_column(finding)], [state.value for state in LabelState])
            for finding in findings_of(vocabulary)
        },
        "words": {name: _counts(manifest[name]) for name in WORDS},
        "statistics": {name: _histogram(manifest[name], edges) for name, edges in _edges().items()},
    }


def _counts(values: pd.Series, known: list[str] | None = None) -> dict[str, int]:
    counts = values.astype(str).value_counts()
    return {word: int(counts.get(word, 0)) for word in known or sorted(counts.index)}


def _histogram(values: pd.Series, edges: np.ndarray) -> dict[str, Any]:
    known = values.to_numpy(float)
    known = known[~np.isnan(known)]
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "n_unknown": len(values) - len(known)}


def last_reference(dataset: str) -> tuple[str, dict[str, Any]] | None:
    """Fingerprint and profile of the newest prepared version of ``dataset``; ``None`` where there is none yet.

    Raises:
        DataDefect: The profile is there but is not one.
    """
    from cxr_tasks.datasets.latest import latest_dataset

    if not (datasets_root() / dataset / "latest.json").is_file():
        return None
    latest = latest_dataset(dataset)
    path = Path(latest.folder) / REFERENCE_NAME
    if not path.is_file():
        return None  # prepared before profiles were kept
    profile = read_json(path)
    if not isinstance(profile, dict) or profile.get("format") != FORMAT:
        its_format = profile.get("format") if isinstance(profile, dict) else type(profile).__name__
        raise DataDefect(
            f"{path}: expected a reference profile of format {FORMAT}, found {its_format!r}; "
            "restore the dataset's folder, or remove the file to validate without a comparison"
        )
    return latest.fingerprint, profile
