"""Manifests without fault, made for the stage that validates them, and what it recorded."""

from __future__ import annotations

import dataclasses

import numpy as np

from cxr_tasks.contracts.handoffs.dataset import IngestedStudies
from cxr_tasks.contracts.labels import findings_of, label_column
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.installation.storage.files import read_json, reference_to
from tests.builders import manifest_table

RECIPE = load_recipe("kermany_cnn")
NIH = dataclasses.replace(RECIPE, dataset=dataclasses.replace(RECIPE.dataset, name="nih14", vocabulary="nih14"))


def make_manifest(n=300, **columns):
    """A manifest without fault: every patient one image; of five rows one is validation and the last is test.

    Two of three rows are ill: row 0 is not, rows 1 and 2 are, and so on.
    """
    rng = np.random.default_rng(1)
    is_ill = np.arange(n) % 3 != 0
    split = np.array(["train", "train", "train", "validation", "test"])[np.arange(n) % 5]
    values = {
        "source": "kermany",
        "official_split": np.where(split == "test", "test", "train"),
        "split": split,
        "sub_label": np.where(is_ill, "virus", ""),
        "file_format": "JPEG",
        "width_px": rng.integers(250, 400, n),
        "height_px": rng.integers(200, 300, n),
        "mean": rng.uniform(0.4, 0.6, n),
        "deviation": rng.uniform(0.15, 0.25, n),
        "sharpness": rng.uniform(0.001, 0.003, n),
        "label_pneumonia": np.where(is_ill, "positive", "negative"),
    }
    return manifest_table(n, **values | columns)


def make_multilabel(n=300, **columns):
    rng = np.random.default_rng(2)
    labels = {label_column(one): rng.choice(["positive", "negative"], n, p=[0.2, 0.8]) for one in findings_of("nih14")}
    split = np.array(["train", "train", "train", "validation", "test"])[np.arange(n) % 5]
    return manifest_table(n, findings_of("nih14"), **{"split": split} | labels | columns)


def ingested(table, paths, dataset="kermany"):
    manifest = paths.stage("ingest") / "manifest.parquet"
    table.to_parquet(manifest, index=False)
    (paths.stage("ingest") / "quarantine.csv").write_text("")
    return IngestedStudies(
        dataset=dataset,
        root=str(paths.root),
        manifest=reference_to(manifest),
        quarantine=reference_to(paths.stage("ingest") / "quarantine.csv"),
        n_images=len(table),
        n_patients=len(table),
        n_quarantined=0,
    )


def failed_of(paths):
    """Sentence -> outcome of every expectation not met, from ``validation.json``."""
    record = read_json(paths.stage("validate") / "validation.json")
    return {one["about"]: one for one in record["outcomes"] if not one["success"]}
