"""In which split the patients and pictures of a version's datasets are, so that labels that come back keep to it."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.recipes import load_recipe, recipe_names
from cxr_tasks.datasets.content import content_of_splits, scheme_of
from cxr_tasks.datasets.latest import dataset_of
from cxr_tasks.datasets.trained_on import trained_on
from cxr_tasks.feedback.labels import SALT, SplitOf
from cxr_tasks.installation.patient_keys import patient_key, patient_secret
from cxr_tasks.installation.storage.files import read_json
from cxr_tasks.registry.version_files import load_version

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

#: Of one who is in several: the images of all that its weights follow from count, and learning weighs most.
_WEAKEST_FIRST = ("test", "validation", "train")


def splits_of_version(registered: RegisteredModel, work: Path) -> SplitOf:
    """Tells the split of a patient or a picture: that of the images the version was trained on, or of its dataset.

    Patients are compared by the number that the table gives them, whatever the source: that two sources call two people
    alike costs a label of the one, no more. Where the images of the version are not known, nobody's split is.

    Raises:
        NoSuchVersion, ServiceUnavailable: The version is not to be had.
    """
    loaded = load_version(registered.model_name, registered.version, work / "version")
    name, fingerprint = loaded.contract.dataset, loaded.contract.dataset_fingerprint
    parts, salts = [], {load_recipe(name).split.salt for name in recipe_names()}
    try:
        prepared = dataset_of(name, fingerprint)
        settings = read_json(Path(prepared.folder) / "provenance.json").get("settings", {})
        salts.add(settings.get("split", {}).get("salt", ""))
        parts += [content_of_splits(prepared, _WEAKEST_FIRST), trained_on(loaded, work / "trained_on")]
    except DataDefect as error:
        log.warning("%s version %d: whom it has seen is not known: %s", loaded.model_name, loaded.version, error)
    return _lookup(parts, salts)


def _lookup(parts: list[pd.DataFrame], salts: set[str]) -> SplitOf:
    by_pixels: dict[str, str] = {}
    by_patient: dict[tuple[str, str], str] = {}
    for split in _WEAKEST_FIRST:
        for part in parts:
            rows = part[part["split"] == split]
            by_pixels |= dict.fromkeys(rows["pixel_hash"], split)
            by_patient |= dict.fromkeys(zip(rows["patient_scheme"], rows["patient_key"], strict=True), split)
    by_pixels.pop("", None)
    secret = patient_secret()
    schemes = {scheme_of(salt): salt for salt in sorted(salts)}

    @cache
    def split_of_patient(patient: str) -> str:
        # One who came back before is called by the key of then.
        splits = [
            by_patient.get((scheme, patient_key(called, salt=salt, secret=secret)), "")
            for called in (patient, patient_key(patient, salt=SALT, secret=secret))
            for scheme, salt in schemes.items()
        ]
        return _strongest(splits)

    def split_of(patient: str, pixel_hash: str) -> str:
        return _strongest([by_pixels.get(pixel_hash, ""), split_of_patient(patient) if patient else ""])

    return split_of


def _strongest(splits: list[str]) -> str:
    """Of the splits one is in, that which weighs most; '' where in none."""
    return max(splits, key=lambda split: _WEAKEST_FIRST.index(split) if split else -1, default="")
