"""Every fault that can be planted, through ingest and validation: it ends as its table says, and all else is kept."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.ingest.stage import ingest_source
from cxr_tasks.sources.phantoms.faults import FAULTS
from cxr_tasks.validate import validate_manifest

pytestmark = pytest.mark.gx

#: A fault takes a whole patient, so there must be some left.
N_IMAGES = 160
LAYOUTS = {"kermany": "pneumonia", "nih": "nih14", "chexpert": "chexpert14", "dicom": "nih14"}


def recipe_of(layout: str, faults: dict[str, object]):
    """A recipe on phantoms in ``layout`` with ``faults``, whose bounds let the run go on."""
    recipe = load_recipe("synthetic_multilabel")
    options = {"layout": layout, "n_images": N_IMAGES, "size_px": 128, "faults": faults}
    if layout != "kermany":
        options["layout_options"] = {"absent_bound": 0.2}
    dataset = dataclasses.replace(
        recipe.dataset, name=f"faulty_{layout}", vocabulary=LAYOUTS[layout], options=options, quarantine_bound=0.5
    )
    return dataclasses.replace(recipe, dataset=dataset)


@pytest.fixture(scope="module", params=LAYOUTS)
def run(request, tmp_path_factory):
    """One run over a folder with one of each fault: the tables it left, and what was planted."""
    layout = request.param
    faults = {
        name: True if name == "mode_shortcut" else 1
        for name, fault in FAULTS.items()
        if layout in fault.layouts and not fault.end(layout).startswith("error")
    }
    recipe = recipe_of(layout, faults)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_HOME", str(tmp_path_factory.mktemp(f"faults_{layout}") / "var"))
        paths = RunPaths.for_run("faults", layout)
        ingested = ingest_source(recipe, None, paths)
        try:
            validate_manifest(ingested, recipe, paths)
        except DataDefect as error:
            # So few images leave some finding without a positive in a split; any other defect is one of ours.
            assert "critical" in str(error)
        outcomes = json.loads((paths.root / "validate" / "validation.json").read_text())["outcomes"]
        (planted,) = (paths.root.parents[1] / "synthetic").rglob("planted.json")
        yield SimpleNamespace(
            layout=layout,
            planted=one_fault_each(json.loads(planted.read_text())),
            manifest=pd.read_parquet(ingested.manifest.verified_path()).set_index("image_id"),
            quarantine=pd.read_csv(ingested.quarantine.verified_path()),
            failed=[one for one in outcomes if not one["success"]],
            ingested=ingested,
        )


def one_fault_each(planted: list[dict[str, str]]) -> list[dict[str, str]]:
    """Without the shortcut in images that have another fault too; they end by that one."""
    others = {row["image_id"] for row in planted if row["fault"] != "mode_shortcut"}
    return [row for row in planted if row["fault"] != "mode_shortcut" or row["image_id"] not in others]


def test_each_fault_ends_where_its_table_says(run):
    wrong = [f"{row}: {why}" for row in run.planted if (why := problem_of(run, row))]
    assert not wrong, "\n".join(wrong)


def test_nothing_else_is_in_quarantine(run):
    expected = {row["image_id"] for row in run.planted if row["ends"].startswith("quarantine")}
    found = set(run.quarantine["image_id"])
    # Lists name a file without its folder.
    assert {name.rpartition("/")[2] for name in found} <= {name.rpartition("/")[2] for name in expected}
    assert run.ingested.n_images == len(run.manifest) >= N_IMAGES - len(run.planted) - 0.15 * N_IMAGES


def test_quarantine_says_what_to_do(run):
    assert (run.quarantine[["reason", "detail", "action"]].map(lambda text: len(str(text)) > 3)).all(axis=None)


def problem_of(run, row: dict[str, str]) -> str:
    """Why a planted fault did not end where it must; empty where it did."""
    kind, _, value = row["ends"].partition(":")
    image_id, rows = row["image_id"], run.manifest
    refused = run.quarantine[run.quarantine["image_id"].isin([image_id, image_id.rpartition("/")[2]])]
    if kind == "quarantine":
        if value == "no_permission" and os.access(Path(run.ingested.root) / image_id, os.R_OK):
            return ""  # this user may read every file, whatever its permissions
        if image_id in rows.index:
            return "in the manifest"
        return "" if refused["reason"].tolist() == [value] else f"quarantine has {refused['reason'].tolist()}"
    if len(refused):
        return f"in quarantine: {refused['reason'].tolist()}"
    if kind == "ignored":
        return "in the manifest" if image_id in rows.index else ""
    if image_id not in rows.index:
        return "not in the manifest"
    return _problem_of_row(run, rows.loc[image_id], row, kind, value)


def _problem_of_row(run, image: pd.Series, row: dict[str, str], kind: str, value: str) -> str:
    if kind == "flag":
        return "" if value in image["flags"].split(",") else f"flags are {image['flags']!r}"
    if kind == "column":
        name, _, wanted = value.partition("=")
        got = image[name]
        return "" if (wanted == "nan" and math.isnan(got)) or str(got) == wanted else f"{name} is {got}"
    if kind == "one_split":
        other = run.manifest.loc[row["twin"], "split"]
        return "" if image["split"] == other else f"in {image['split']}, its twin in {other}"
    if kind == "expectation":
        about = [one["about"] for one in run.failed]
        return "" if any(value in one for one in about) else f"expectations that failed: {about}"
    return "" if kind == "usable" else f"no such end: {kind}"
