"""How a prepared dataset was validated, in a few words that fit on a training run."""

from __future__ import annotations

from pathlib import Path

from cxr_tasks.installation.storage.files import read_json

NOT_RECORDED = "not recorded"


def validation_tags(folder: Path) -> dict[str, str]:
    """Tags for a dataset in MLflow: expectations, warnings, hash of ``validation.json`` and drift verdict.

    Datasets prepared before validation was recorded in them are still on disk and may be trained on: what their
    folder does not say is tagged as not recorded.

    Raises:
        DataDefect: The folder has no provenance: it is not a prepared dataset.
    """
    validation = read_json(folder / "provenance.json").get("validation", {})
    profile_path = folder / "reference_profile.json"
    profile = read_json(profile_path) if profile_path.is_file() else {}
    tags = {
        "cxr.validation.n_expectations": validation.get("n_expectations"),
        "cxr.validation.n_warnings": validation.get("n_warnings"),
        "cxr.validation.sha256": validation.get("sha256"),
        "cxr.validation.drift": profile.get("drift", {}).get("verdict"),
    }
    return {name: NOT_RECORDED if value is None else str(value) for name, value in tags.items()}
