"""What a training ran on and started from, beside its recipe and its data: what a reproduction is held against."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.installation.processor import CPU_INFO
from cxr_tasks.installation.software import git_commit, installed_packages
from cxr_tasks.installation.storage.files import sha256_file
from cxr_tasks.train.weights.starting_weights import PHANTOM_FILE, WeightsOrigin, weights_root


def training_environment(spec: TrainSpec, *, n_gpus: int, precision: str, folder: Path) -> dict[str, Any]:
    """Name to value, JSON-ready and flat; ``precision`` is the one in force, ``folder`` that of the training.

    Weights by file are given by their sha256, as a file can change; a version in the registry cannot.
    """
    files = {name: path for name, path in _weight_files(spec, folder).items() if path.is_file()}
    return {
        "precision": precision,
        "n_gpus": n_gpus,
        "processor": processor_name(),
        "n_processors": len(os.sched_getaffinity(0)),
        "commit": git_commit() or "not known",
        **installed_packages(),
        **{f"sha256 of {name}": sha256_file(path) for name, path in files.items()},
    }


def processor_name(cpu_info: Path = CPU_INFO) -> str:
    """The first processor's model, as the system calls it."""
    try:
        text = cpu_info.read_text(encoding="utf-8")
    except OSError:
        text = ""
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.machine())


def _weight_files(spec: TrainSpec, folder: Path) -> dict[str, Path]:
    files = {}
    origin = WeightsOrigin.of(spec)
    if origin.kind in ("imagenet", "file"):
        files["train.starting_weights"] = origin.path
    elif origin.kind == "phantoms":
        files["train.starting_weights"] = folder / PHANTOM_FILE
    first = spec.labels.first_model
    if first and not first.startswith("models:"):
        files["train.labels.first_model"] = weights_root() / Path(first).expanduser()
    return files
