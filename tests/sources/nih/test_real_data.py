"""The shipped recipe, and the counts of real folders."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest

from cxr_tasks.contracts.labels import VOCABULARIES, LabelState
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.sources.nih.source import SOURCE


def test_the_shipped_recipe_fits_its_source(write_nih):
    recipe = load_recipe("nih_cnn")
    scan = SOURCE.scan(write_nih(), recipe.dataset)
    assert (recipe.model_name, recipe.findings) == ("cxr_multilabel", VOCABULARIES["nih14"])
    assert {tuple(one.states) for one in scan.records} == {recipe.findings}


@pytest.mark.data
def test_real_folder_gives_the_counts_of_its_readme(shared_data, spec):
    scan = SOURCE.scan(shared_data / "nih14", spec)
    assert len(scan.records) == 1223
    assert len({one.patient_id for one in scan.records}) == 973
    assert Counter(one.official_split for one in scan.records) == {"train": 1043, "test": 180}
    assert sum(len(one.boxes) for one in scan.records) == 46
    assert sum(bool(one.boxes) for one in scan.records) == 41
    assert sum(one.states["pneumonia"] is LabelState.POSITIVE for one in scan.records) == 384
    assert all((shared_data / "nih14" / one.image_id).is_file() for one in scan.records)
    assert scan.refusals == ()
    assert scan.notes == ("labels from Data_Entry_2017.csv",)


@pytest.mark.data
def test_unchanged_originals_are_found_beside_the_tables(shared_data, spec, tmp_path):
    for path in (shared_data / "raw_samples" / "nih14").iterdir():
        shutil.copy(path, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    header, *lines = (shared_data / "nih14" / "Data_Entry_2017.csv").read_text().splitlines(keepends=True)
    listed = [line for line in lines if line.partition(",")[0] in names]
    (tmp_path / "Data_Entry_2017.csv").write_text("".join([header, *listed]))
    scan = SOURCE.scan(tmp_path, spec)
    assert len(names) == 6
    assert {one.image_id for one in scan.records} == names
    assert scan.refusals == ()
