from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.sources.phantoms.faults.planting import Ground, well
from cxr_tasks.sources.phantoms.layouts.layouts import LAYOUTS
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions


@pytest.fixture
def ground(tmp_path):
    options = SyntheticOptions(n_images=200, size_px=96, layout="nih")
    return Ground(layout="nih", folder=tmp_path, files=LAYOUTS["nih"].plan(options), rng=np.random.default_rng(5))


def test_images_are_taken_once_from_patients_of_their_own(ground):
    taken = [*ground.take(8), *ground.take(8), *ground.take(4, split="test")]
    patients = [ground.patient_of(file) for file in taken]
    assert len(set(patients)) == 20
    assert [ground.split_of(file) for file in taken] == ["train"] * 16 + ["test"] * 4
    assert all(other.image_id in ground.touched for file in taken for other in ground.files_of(ground.patient_of(file)))


def test_well_patients_go_first(ground):
    n_well = len({ground.patient_of(file) for file in ground.files if well(file) and ground.split_of(file) == "train"})
    assert n_well > 12
    assert all(well(file) for file in ground.take(12))


def test_only_what_is_asked_for_is_taken(ground):
    taken = ground.take(3, is_well=False, where=lambda file: len(file.request.findings) >= 2)
    assert all(len(file.request.findings) >= 2 for file in taken)


def test_rows_are_edited_by_their_first_cell_and_others_stay(ground):
    table = ground.folder / "t.csv"
    table.write_text("name,size[w,h],label\na.png,1,2,Mass|Nodule\nb.png,3,4,No Finding\n")
    ground.edit_rows("t.csv", "b.png", lambda row: {**row, "label": "Edema", "h]": "9"})
    assert table.read_text() == "name,size[w,h],label\na.png,1,2,Mass|Nodule\nb.png,3,9,Edema\n"
    with pytest.raises(ConfigurationError, match="expected a row for c.png, found none"):
        ground.edit_rows("t.csv", "c.png", lambda row: row)


def test_a_row_is_added_with_another_first_cell_and_all_others_stay(ground):
    table = ground.folder / "t.csv"
    table.write_text("name,label\na.png,Mass|Nodule\nb.png,No Finding\n")
    ground.add_row("t.csv", "a.png", "../a.png")
    assert table.read_text() == "name,label\na.png,Mass|Nodule\nb.png,No Finding\n../a.png,Mass|Nodule\n"
    with pytest.raises(ConfigurationError, match="expected a row for c.png, found none"):
        ground.add_row("t.csv", "c.png", "d.png")


def test_an_enlarged_picture_is_the_drawn_one_in_another_size(ground):
    file = ground.files[0]
    drawn = ground.pixels(file)
    ground.scales[file.image_id] = 1.5
    enlarged = ground.pixels(file)
    assert enlarged.shape == tuple(round(1.5 * side) for side in drawn.shape)
    assert enlarged.mean() == pytest.approx(drawn.mean(), abs=1)
