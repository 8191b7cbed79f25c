from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.datasets.content import CONTENT_COLUMNS, content_of_splits, scheme_of
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.prepare.stage import prepare_dataset

pytestmark = pytest.mark.tf

RECIPE = dataclasses.replace(load_recipe("synthetic_binary"), pixels=PixelSpec(size_px=16))


@pytest.fixture
def prepared(cxr_home, image_folder, make_manifest, validated):
    manifest = make_manifest(image_folder)
    made = prepare_dataset(validated(image_folder, manifest), RECIPE, RunPaths.for_run("d", "1"))
    return made, manifest.set_index("image_id")


def test_a_dataset_tells_what_its_images_are(prepared):
    dataset, manifest = prepared
    content = content_of_splits(dataset, ["train", "validation"])
    assert list(content) == list(CONTENT_COLUMNS) and set(content["split"]) == {"train", "validation"}
    rows = manifest.loc[content["image_id"]]
    for name in ("file_sha256", "pixel_hash", "perceptual_hash", "source"):
        assert content[name].tolist() == rows[name].tolist()
    assert "patient 0" not in content.to_csv()
    assert set(content["patient_scheme"]) == {scheme_of(RECIPE.split.salt)} != {scheme_of("another salt")}
    provenance = json.loads((Path(dataset.folder) / "provenance.json").read_text())
    assert provenance["splits"] == {"rule": "dealt", "changed_since": None}


def test_a_dataset_from_before_knows_its_images_by_file_and_patient(prepared):
    dataset, manifest = prepared
    path = Path(dataset.folder) / "provenance.json"
    provenance = json.loads(path.read_text())
    del provenance["content_sha256"]
    path.write_text(json.dumps(provenance))
    now = content_of_splits(dataset, ["test"])
    assert set(now["pixel_hash"]) == set(now["perceptual_hash"]) == {""}
    assert now["file_sha256"].tolist() == manifest.loc[now["image_id"], "file_sha256"].tolist()
    assert set(now["patient_scheme"]) == {scheme_of(RECIPE.split.salt)}


def test_a_table_that_was_changed_is_no_evidence(prepared):
    dataset, _ = prepared
    path = Path(dataset.folder) / "content.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    with pytest.raises(DataDefect, match="expected the table that was written with the dataset"):
        content_of_splits(dataset, ["test"])
