from __future__ import annotations

import dataclasses
import logging

import pandas as pd
import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.handoffs.dataset import IngestPlan
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.ingest import listing
from cxr_tasks.ingest.listing import list_images
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.sources.base import ImageRecord, Refusal, SourceScan


@pytest.fixture
def paths(cxr_home):
    return RunPaths.for_run("d", "r")


def with_part_size(recipe, size):
    return dataclasses.replace(recipe, dataset=dataclasses.replace(recipe.dataset, part_size=size))


@pytest.mark.parametrize(
    ("size", "rows"),
    [(1000, [68]), (68, [68]), (67, [34, 34]), (30, [22, 23, 23])],
)
def test_parts_hold_equally_many_rows_and_part_size_at_most_in_sorted_order(xrays, recipe, paths, size, rows):
    plan = list_images(with_part_size(recipe, size), str(xrays), paths)
    tables = [pd.read_parquet(verified_path(one)) for one in plan.parts]
    assert [len(one) for one in tables] == rows
    assert pd.concat(tables)["image_id"].is_monotonic_increasing
    assert (plan.n_images, plan.n_refused, plan.root) == (68, 0, str(xrays))
    assert IngestPlan.from_payload(plan.to_payload()) == plan


def test_refusals_of_the_source_and_its_notes_are_kept(xrays, recipe, paths, caplog):
    (xrays / "train" / "NORMAL" / "holiday.jpeg").write_bytes(b"anything")
    (xrays / "train" / "NORMAL" / ".DS_Store").write_bytes(b"x")
    with caplog.at_level(logging.INFO):
        plan = list_images(recipe, str(xrays), paths)
    refused = pd.read_parquet(verified_path(plan.refusals))
    assert refused["reason"].tolist() == ["unknown_patient"]
    assert plan.n_refused == 1
    assert ".DS_Store" in caplog.text


class FixedSource:
    name = "fixed"

    def __init__(self, scan):
        self._scan = scan

    def scan(self, root, spec):
        return self._scan


def make_record(image_id, official_split=""):
    return ImageRecord(
        image_id=image_id,
        patient_id="p",
        study_id="s",
        states={"pneumonia": LabelState.POSITIVE},
        official_split=official_split,
    )


@pytest.mark.parametrize(
    ("splits", "share", "refused_for"),
    [
        (["", ""], 0.0, "none"),
        (["train", "validation"], 0.0, "train, validation"),
        (["", "test"], 0.0, None),
        (["", ""], 0.2, None),
        ([], 0.0, None),  # what was refused is told at the end
    ],
)
def test_data_and_recipe_without_a_test_split_are_refused_before_ingest(
    xrays, recipe, paths, monkeypatch, splits, share, refused_for
):
    scan = SourceScan(root=xrays, records=tuple(make_record(f"{n}", one) for n, one in enumerate(splits)))
    monkeypatch.setattr(listing, "get_source", lambda name: FixedSource(scan))
    recipe = dataclasses.replace(recipe, split=dataclasses.replace(recipe.split, test=share))
    if refused_for is None:
        assert list_images(recipe, str(xrays), paths).n_images == len(splits)
    else:
        with pytest.raises(ConfigurationError, match=f"finds of official splits {refused_for} in .*Set split.test"):
            list_images(recipe, str(xrays), paths)
        assert not (paths.root / "ingest" / "listing").exists()


def test_an_image_listed_twice_is_a_defect(xrays, recipe, paths, monkeypatch):
    scan = SourceScan(root=xrays, records=(make_record("b"), make_record("a"), make_record("b")))
    monkeypatch.setattr(listing, "get_source", lambda name: FixedSource(scan))
    with pytest.raises(DataDefect, match="b: expected each image once"):
        list_images(recipe, str(xrays), paths)


def test_a_source_may_list_nothing_but_refusals(xrays, recipe, paths, monkeypatch):
    refusal = Refusal(image_id="a", reason="absent", detail="d", action="a")
    scan = SourceScan(root=xrays, records=(), refusals=(refusal,))
    monkeypatch.setattr(listing, "get_source", lambda name: FixedSource(scan))
    plan = list_images(recipe, str(xrays), paths)
    assert (plan.parts, plan.n_images, plan.n_refused) == ((), 0, 1)


def test_a_run_without_folder_says_what_to_set(recipe, paths, monkeypatch):
    monkeypatch.delenv("CXR_KERMANY_ROOT", raising=False)
    with pytest.raises(ConfigurationError, match="set CXR_KERMANY_ROOT"):
        list_images(recipe, None, paths)
