from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.records import MANIFEST_COLUMNS
from cxr_tasks.ingest import rows
from cxr_tasks.ingest.collect import collect_parts
from cxr_tasks.ingest.ledger import open_ledger
from cxr_tasks.ingest.listing import list_images
from cxr_tasks.ingest.part import inspect_part
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import RunPaths


@pytest.fixture
def inspected(xrays, lenient_recipe, cxr_home):
    """``inspected(part_size, run)``: recipe, plan, inspected parts and paths, as ``collect_parts`` takes them."""

    def make(part_size=1000, run="r"):
        spec = dataclasses.replace(lenient_recipe.dataset, part_size=part_size)
        recipe = dataclasses.replace(lenient_recipe, dataset=spec)
        paths = RunPaths.for_run("d", run)
        plan = list_images(recipe, str(xrays), paths)
        return recipe, plan, [inspect_part(recipe, plan, part, paths) for part in range(len(plan.parts))], paths

    return make


@pytest.mark.parametrize("part_size", [68, 30, 7])
def test_the_manifest_does_not_depend_on_the_parts(inspected, monkeypatch, part_size):
    monkeypatch.setattr(rows, "ROWS_AT_A_TIME", 16)
    whole = collect_parts(*inspected(run="whole"))
    recipe, plan, parts, paths = inspected(part_size, run="parts")
    found = collect_parts(recipe, plan, parts[::-1], paths)
    assert found.manifest.sha256 == whole.manifest.sha256
    assert found.quarantine.sha256 == whole.quarantine.sha256
    table = pd.read_parquet(verified_path(found.manifest))
    assert list(table.columns) == [*MANIFEST_COLUMNS, "label_pneumonia"]
    assert table["image_id"].is_monotonic_increasing


def test_types_survive_the_file(inspected):
    table = pd.read_parquet(verified_path(collect_parts(*inspected()).manifest))
    kinds = {str(table[name].dtype) for name in ("image_id", "split", "flags", "perceptual_hash", "label_pneumonia")}
    assert kinds == {"str"}
    assert {str(table[name].dtype) for name in ("width_px", "height_px", "bit_depth")} == {"int64"}
    assert {str(table[name].dtype) for name in ("age_years", "mean", "entropy", "sharpness")} == {"float64"}


def test_refusals_of_source_and_of_all_parts_are_in_quarantine(xrays, inspected):
    folder = xrays / "train" / "NORMAL"
    (folder / "holiday.jpeg").write_bytes(b"anything")
    (folder / "IM-0900-0001.jpeg").write_bytes(b"")
    (xrays / "test" / "NORMAL" / "IM-0901-0001.jpeg").write_bytes(b"<html>")
    found = collect_parts(*inspected(10))
    quarantine = pd.read_csv(verified_path(found.quarantine))
    assert quarantine["reason"].tolist() == ["not_an_image", "empty_file", "unknown_patient"]
    assert (found.n_images, found.n_quarantined) == (68, 3)


def test_nearly_equal_pictures_share_a_group_and_a_side(xrays, inspected, picture):
    smooth = picture(7, width=16, height=16).resize((400, 300))
    test_name, train_name = "test/PNEUMONIA/person900_virus_900.jpeg", "train/PNEUMONIA/person901_virus_901.jpeg"
    smooth.save(xrays / test_name, quality=90)
    smooth.resize((200, 150)).save(xrays / train_name, quality=60)
    table = pd.read_parquet(verified_path(collect_parts(*inspected(20)).manifest)).set_index("image_id")
    assert table.loc[[test_name, train_name], "duplicate_group"].tolist() == [test_name, test_name]
    assert table.loc[[test_name, train_name], "split"].tolist() == ["test", "test"]
    assert (table["duplicate_group"] != "").sum() == 2


@pytest.mark.parametrize("fault", ["missing", "twice"])
def test_each_part_is_wanted_once(inspected, fault):
    recipe, plan, parts, paths = inspected(30)
    given = parts[:-1] if fault == "missing" else [*parts, parts[0]]
    with pytest.raises(DataDefect, match="expected each of the parts 0 to 2 once"):
        collect_parts(recipe, plan, given, paths)


def test_a_part_that_was_changed_is_noticed(inspected):
    recipe, plan, parts, paths = inspected(30)
    Path(parts[1].images.uri).write_bytes(b"")
    with pytest.raises(DataDefect, match="it was changed after it was written"):
        collect_parts(recipe, plan, parts, paths)


def test_files_that_are_gone_are_forgotten(xrays, inspected):
    collect_parts(*inspected(run="r1"))
    gone = sorted((xrays / "train" / "NORMAL").iterdir())[0]
    gone.unlink()
    collect_parts(*inspected(run="r2"))
    with open_ledger(xrays) as ledger:
        assert ledger.entries([gone.relative_to(xrays).as_posix()]) == {}
