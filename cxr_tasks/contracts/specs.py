"""What a stage is asked to do: the typed parts of a recipe, less training's, which are in ``train_specs``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from cxr_tasks.contracts.errors import ConfigurationError

#: What TFDS takes for a dataset, in ASCII: the name becomes a folder, and part of file names beside a fingerprint.
_DATASET_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
LONGEST_DATASET_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """Which images, read by which source."""

    name: str
    """Of the prepared dataset: a folder of ``datasets_root()`` and a dataset of TFDS; see ``checked_dataset_name``."""
    source: str
    """A module of ``cxr_tasks.sources``."""
    vocabulary: str
    root_env: str | None = None
    """Environment variable with the data folder, used when no folder is given at the start of a run."""
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of this source only; the source checks them."""
    quarantine_bound: float = 0.05
    """Share of unusable images above which ingest fails."""
    part_size: int = 40_000
    """Images that one ingest task opens; a larger source is split into several tasks."""

    def __post_init__(self) -> None:
        checked_dataset_name(self.name)
        in_range("quarantine_bound", self.quarantine_bound, 0, 1)
        in_range("part_size", self.part_size, 1, 10_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSpec:
    """How patients are dealt to splits where the source gives no official split."""

    salt: str
    validation: float
    """Share of the patients that are not in an official test split."""
    test: float = 0.0
    """Share of all patients; only used where the source has no official test split."""

    def __post_init__(self) -> None:
        in_range("validation", self.validation, 0.01, 0.5)
        in_range("test", self.test, 0, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelSpec:
    """The one definition of pixels: greyscale, resized to a square of ``size_px``."""

    size_px: int = 128
    fit: Literal["stretch", "crop"] = "stretch"
    """``stretch`` keeps the whole picture; ``crop`` keeps the aspect and cuts the longer side around the centre."""

    def __post_init__(self) -> None:
        in_range("size_px", self.size_px, 16, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSpec:
    """How a trained model is assessed."""

    confidence: float = 0.95
    target_sensitivity: float = 0.95
    served_operating_point: Literal["youden", "best_f1", "target_sensitivity"] = "target_sensitivity"
    """Which threshold, chosen on validation, makes the served ``decisions``. One that finds less than half of
    validation's positives never serves: the target sensitivity's does instead (``evaluate.decision``)."""
    target_ppv: float | None = None
    """Adds an operating point: the lowest threshold whose calls on validation are right this often, where any is."""
    calibration: Literal["platt", "temperature"] = "platt"
    """Per finding, fitted on validation. ``temperature`` keeps a logit of 0 at a probability of 0.5."""
    min_positives: int = 5
    """Findings with fewer positives (or negatives) in a split are not assessable there."""
    bootstrap_samples: int = 2000
    """Resamples of patients behind the bootstrap intervals."""
    bootstrap_seed: int = 20261123

    def __post_init__(self) -> None:
        in_range("bootstrap_samples", self.bootstrap_samples, 100, 1_000_000)
        in_range("min_positives", self.min_positives, 2, 1_000_000)
        in_range("confidence", self.confidence, 0.5, 0.999)
        in_range("target_sensitivity", self.target_sensitivity, 0.5, 0.999)
        if self.target_ppv is not None:
            in_range("target_ppv", self.target_ppv, 0.01, 0.999)


def checked_dataset_name(name: str) -> str:
    """``name``, where folders and TFDS can hold it: a letter, then letters, digits and ``_``, at most 64 in all.

    Raises:
        ConfigurationError: It cannot be one; a name near to it that can is proposed.
    """
    if _DATASET_NAME.fullmatch(name) and len(name) <= LONGEST_DATASET_NAME:
        return name
    words = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[: LONGEST_DATASET_NAME - 4]
    nearest = words if words[:1].isalpha() else f"set_{words}".rstrip("_")
    raise ConfigurationError(
        f"name: expected a name for the dataset of a letter, then letters (a to z), digits and _, at most "
        f"{LONGEST_DATASET_NAME} in all, found {name!r}; {nearest!r} can be one"
    )


def in_range(name: str, value: float, low: float, high: float) -> None:
    """``ConfigurationError`` that names the setting, unless ``value`` lies from ``low`` to ``high``."""
    if not low <= value <= high:
        raise ConfigurationError(f"{name}: expected a value from {low} to {high}, found {value}")
