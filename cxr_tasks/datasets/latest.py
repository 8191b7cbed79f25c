"""Which prepared datasets there are, found by name or by fingerprint; and which of a name is the newest."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.installation.patient_keys import patient_key, patient_secret
from cxr_tasks.installation.storage.files import read_json, verified_path, write_json
from cxr_tasks.installation.storage.paths import datasets_root, relocated

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

LATEST_FILE = "latest.json"


@dataclass(frozen=True, slots=True)
class StoredPixels:
    """How the pixels of a stored dataset were made, as its record says."""

    spec: PixelSpec
    prepare_version: int | None
    """``images.version.PREPARE_VERSION`` of then; None where the dataset is older than the record."""


def stored_pixels(prepared: PreparedDataset) -> StoredPixels:
    """What the record of ``prepared`` says of its pixels; ``DataDefect`` where it is not on disk."""
    path = relocated(prepared.folder) / "provenance.json"
    if not path.is_file():
        raise DataDefect(f"{path}: expected the record of dataset {prepared.dataset}, found none; prepare it again")
    provenance = read_json(path)
    version = (provenance.get("versions") or {}).get("prepare")
    return StoredPixels(build(PixelSpec, provenance["pixels"], f"{path.name}.pixels"), version)


def latest_dataset(name: str) -> PreparedDataset:
    """The newest published dataset called ``name``; ``DataDefect`` with what to do where there is none."""
    path = datasets_root() / name / LATEST_FILE
    if not path.is_file():
        raise DataDefect(f"{path}: no dataset {name!r} is prepared yet; run its dataset DAG, or 'cxr trigger', first")
    return PreparedDataset.from_payload(read_json(path))


def publish_latest(prepared: PreparedDataset) -> None:
    """Make ``prepared`` the newest of its name, which training and the next version take up.

    For a dataset that was found good; ``prepare_dataset`` leaves the newest as it was.

    Raises:
        DataDefect: The dataset is not on disk, or is not what it was.
    """
    dataset = dataset_of(prepared.dataset, prepared.fingerprint)
    write_json(datasets_root() / dataset.dataset / LATEST_FILE, dataset.to_payload())


def previous_splits(recipe: Recipe, patient_ids: Iterable[str]) -> pd.Series | None:
    """Patient id -> split that the newest version of the recipe's dataset gave; patients it does not hold are absent.

    Patients are found by their keys, as no version stores an id. None where there is no version yet, or where the
    recipe's split settings have changed since: then patients are dealt anew.

    Raises:
        DataDefect: The newest version is not on disk any more, or is not what it was.
    """
    import pandas as pd

    name = recipe.dataset.name
    if not (datasets_root() / name / LATEST_FILE).is_file():
        return None
    newest = latest_dataset(name)
    folder = datasets_root() / name / newest.fingerprint[:16]
    if not folder.is_dir():
        raise DataDefect(
            f"{folder}: expected the newest version of dataset {name!r}, whose patients keep their splits, found none; "
            f"restore the folder, or remove {datasets_root() / name / LATEST_FILE} to deal all patients anew"
        )
    provenance = read_json(folder / "provenance.json")
    # Datasets of PREPARE_VERSION 1 do not say; the salt, at least, is part of their patient keys.
    settings = provenance.get("settings", {}).get("split", plain(recipe.split))
    if settings != plain(recipe.split):
        log.warning("dataset %s: split settings changed from %s; patients are dealt anew", name, settings)
        return None
    index = pd.read_parquet(verified_path(newest.index), columns=["patient_key", "split"])
    split_of_key = dict(zip(index["patient_key"], index["split"], strict=True))
    secret = patient_secret()
    keys = {patient: patient_key(patient, salt=recipe.split.salt, secret=secret) for patient in set(patient_ids)}
    known = {patient: split_of_key[key] for patient, key in sorted(keys.items()) if key in split_of_key}
    # None of many is more likely a lost secret than a set of new patients.
    level = logging.INFO if known else logging.WARNING
    log.log(level, "%d of %d patients are known from version %s", len(known), len(keys), newest.fingerprint[:16])
    return pd.Series(known, dtype="object")


def dataset_of(name: str, fingerprint: str) -> PreparedDataset:
    """The dataset ``name`` with that fingerprint; ``DataDefect`` where it is not on disk or is not what it was."""
    folder = datasets_root() / name / fingerprint[:16]
    if not folder.is_dir():
        raise DataDefect(
            f"{folder}: expected dataset {name!r} with fingerprint {fingerprint[:16]}..., found no such folder: "
            "pruned, or left out of a backup. Restore the folder, or prepare it again from the same images "
            "('cxr trigger'); the fingerprint must come out the same"
        )
    provenance, statistics = (read_json(folder / file) for file in ("provenance.json", "statistics.json"))
    if provenance["fingerprint"] != fingerprint:
        raise DataDefect(
            f"{folder}: expected the dataset of fingerprint {fingerprint[:16]}..., found that of "
            f"{str(provenance['fingerprint'])[:16]}...; remove the folder to prepare it again"
        )
    index = ArtifactRef(uri=str(folder / "index.parquet"), sha256=str(provenance["index_sha256"]))
    verified_path(index)
    return PreparedDataset(
        dataset=name,
        folder=str(folder),
        fingerprint=fingerprint,
        index=index,
        vocabulary=provenance["vocabulary"],
        size_px=provenance["pixels"]["size_px"],
        n_train=statistics["train"]["n_images"],
        n_validation=statistics["validation"]["n_images"],
        n_test=statistics["test"]["n_images"],
    )
