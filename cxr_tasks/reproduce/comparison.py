"""What is told of a version that was trained again: ``reproduction.json``, and what ``cxr reproduce`` prints."""

from __future__ import annotations

from typing import Any, TypedDict


class Deviation(TypedDict):
    """A number that came out otherwise."""

    name: str
    recorded: float | None
    reproduced: float | None
    size: float | None


class Comparison(TypedDict):
    """A version beside what its recorded recipe gives on its recorded data now; pairs are [recorded, now]."""

    model_name: str
    version: int
    outcome: str
    """``equal``, ``close`` or ``different``."""
    tolerance: float
    recorded_run_id: str
    mlflow_run_id: str
    recipe: str
    dataset: str
    fingerprint: str
    same_test_rows: bool
    same_predictions: bool
    test_auroc: list[float | None]
    best_epoch: list[int]
    epochs_run: list[int]
    recorded_stopped_by: str
    first_other_epoch: int | None
    environment: dict[str, list[Any]]
    """What differs of software and machine."""
    n_numbers: int
    differences: list[Deviation]
    started_at: str
    folder: str | None
    """Where the files of the new training stay; None where nothing differs."""
