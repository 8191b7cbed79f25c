"""Every fault that can be planted, through ingest, validation and preparation: it ends as its table says, and all else
is kept.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.shapes import build
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.sources.phantoms.faults.faults import FAULTS
from cxr_tasks.sources.phantoms.layouts.layouts import LAYOUTS
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions
from cxr_tasks.validate import validate_manifest
from tests.ingest.folders import ingest_source

pytestmark = pytest.mark.gx

#: A fault takes a whole patient, so there must be some left.
N_IMAGES = 160
VOCABULARIES = {"kermany": "pneumonia", "nih": "nih14", "chexpert": "chexpert14", "dicom": "nih14"}
#: Layouts in which the folder says the split: an image of another split has another path.
SPLIT_IN_PATH = ("kermany", "chexpert")


def recipe_of(layout: str, faults: dict[str, object]):
    """A recipe on phantoms in ``layout`` with ``faults``, whose bounds let the run go on."""
    recipe = load_recipe("synthetic_multilabel")
    options = {"layout": layout, "n_images": N_IMAGES, "size_px": 128, "faults": faults}
    if layout != "kermany":
        options["layout_options"] = {"absent_bound": 0.2}
    dataset = dataclasses.replace(
        recipe.dataset, name=f"faulty_{layout}", vocabulary=VOCABULARIES[layout], options=options, quarantine_bound=0.5
    )
    return dataclasses.replace(recipe, dataset=dataset, pixels=PixelSpec(size_px=16))


@pytest.fixture(scope="module", params=VOCABULARIES)
def run(request, tmp_path_factory):
    """One run over a folder with one of each fault: the tables it left, and what was planted."""
    layout = request.param
    faults = {
        name: 1
        for name, fault in FAULTS.items()
        if layout in fault.layouts and not fault.end(layout).startswith("error")
    }
    recipe = recipe_of(layout, faults)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_HOME", str(tmp_path_factory.mktemp(f"faults_{layout}") / "var"))
        paths = RunPaths.for_run("faults", layout)
        ingested = ingest_source(recipe, None, paths)
        # Nothing of what is planted may stop the run: what is critical has been put right by ingest.
        validated = validate_manifest(ingested, recipe, paths)
        outcomes = json.loads((paths.root / "validate" / "validation.json").read_text())["outcomes"]
        (planted,) = (paths.root.parents[1] / "synthetic").rglob("planted.json")
        yield SimpleNamespace(
            layout=layout,
            recipe=recipe,
            paths=paths,
            drawn=LAYOUTS[layout].plan(build(SyntheticOptions, recipe.dataset.options, "options")),
            planted=one_fault_each(json.loads(planted.read_text())),
            manifest=pd.read_parquet(verified_path(ingested.manifest)).set_index("image_id"),
            quarantine=pd.read_csv(verified_path(ingested.quarantine)),
            failed=[one for one in outcomes if not one["success"]],
            ingested=ingested,
            validated=validated,
        )


def one_fault_each(planted: list[dict[str, str]]) -> list[dict[str, str]]:
    """Without the shortcuts in images that have another fault too; they end by that one."""
    others = {row["image_id"] for row in planted if not row["ends"].startswith("shortcut")}
    return [row for row in planted if not row["ends"].startswith("shortcut") or row["image_id"] not in others]


def test_each_fault_ends_where_its_table_says(run):
    wrong = [f"{row}: {why}" for row in run.planted if (why := problem_of(run, row))]
    assert not wrong, "\n".join(wrong)


def test_the_manifest_holds_every_image_that_was_drawn_but_for_those_that_must_go(run):
    assert run.manifest.index.is_unique
    assert set(run.manifest.index) == expected_images(run)
    assert run.ingested.n_images == len(run.manifest)


def test_nothing_else_is_in_quarantine(run):
    assert sorted(run.quarantine["image_id"]) == sorted(expected_refusals(run))


def test_quarantine_says_what_to_do(run):
    assert (run.quarantine[["reason", "detail", "action"]].map(lambda text: len(str(text)) > 3)).all(axis=None)


@pytest.mark.tf
def test_every_image_of_the_manifest_is_in_the_dataset(run):
    from cxr_tasks.prepare.stage import prepare_dataset

    prepared = prepare_dataset(run.validated, run.recipe, run.paths)
    index = pd.read_parquet(verified_path(prepared.index))
    assert sorted(index["image_id"]) == sorted(run.manifest.index)
    assert prepared.n_train + prepared.n_validation + prepared.n_test == len(run.manifest)
    assert pd.read_csv(Path(prepared.folder) / "left_out.csv").empty


def expected_images(run) -> set[str]:
    """Ids of all frontal images that were drawn, under the names that they have now, without those that must go."""
    images = {file.image_id for file in run.drawn if not file.request.is_lateral}
    for row in run.planted:
        if row["fault"] == "patient_across_splits" and run.layout in SPLIT_IN_PATH:
            below = row["image_id"].partition("/")[2]
            images = {one for one in images if one.partition("/")[2] != below} | {row["image_id"]}
        elif row["ends"] == "ignored" or must_be_refused(run, row):
            images.discard(row["image_id"])
    return images


def expected_refusals(run) -> list[str]:
    """Ids that the quarantine must hold, each once; NIH's lists name a file that is nowhere without its folder."""
    return [file.image_id for file in run.drawn if file.request.is_lateral] + [
        row["image_id"].rpartition("/")[2] if (run.layout, row["fault"]) == ("nih", "absent") else row["image_id"]
        for row in run.planted
        if must_be_refused(run, row)
    ]


def must_be_refused(run, row: dict[str, str]) -> bool:
    # Whoever may read every file, whatever its permissions, has nothing to refuse there.
    may_read = row["fault"] == "unreadable" and os.access(Path(run.ingested.root) / row["image_id"], os.R_OK)
    return row["ends"].startswith("quarantine") and not may_read


def problem_of(run, row: dict[str, str]) -> str:
    """Why a planted fault did not end where it must; empty where it did."""
    kind, _, value = row["ends"].partition(":")
    image_id, rows = row["image_id"], run.manifest
    refused = run.quarantine[run.quarantine["image_id"].isin([image_id, image_id.rpartition("/")[2]])]
    if must_be_refused(run, row):
        if image_id in rows.index:
            return "in the manifest"
        return "" if refused["reason"].tolist() == [value] else f"quarantine has {refused['reason'].tolist()}"
    if len(refused):
        return f"in quarantine: {refused['reason'].tolist()}"
    if kind == "ignored":
        return "in the manifest" if image_id in rows.index else ""
    if image_id not in rows.index:
        return "not in the manifest"
    return "" if kind == "quarantine" else _problem_of_row(run, rows.loc[image_id], row, kind, value)


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
        named = {one.get("image_id") for one in offending_rows(run, value)}
        return "" if {image.name, row["twin"]} <= named else f"{value!r} names {sorted(map(str, named))}"
    if kind == "shortcut":
        told = [one for one in offending_rows(run, "no property of the file tells") if one["property"] == value]
        return "" if "pneumonia" in {one["finding"] for one in told} else f"of this property are told: {told}"
    return "" if kind == "usable" else f"no such end: {kind}"


def offending_rows(run, about: str) -> list[dict[str, object]]:
    """The rows that a failed expectation whose sentence holds ``about`` names."""
    return [row for one in run.failed if about in one["about"] for row in one["offending_rows"]]
