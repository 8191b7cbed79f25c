from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.phantoms.layouts import layout_chexpert, layout_dicom


def test_paths_lead_upwards_and_to_the_root_in_turn_and_their_images_keep_their_own_rows(draw):
    drawn = draw("nih", {"path_outside": 2})
    listed = [row["image_id"] for row in drawn.planted]
    assert [one[:3].rstrip("0") for one in listed] == ["../", "/"]
    scan = drawn.scan(absent_bound=0.2)
    assert {one.image_id: one.reason for one in scan.refusals} == dict.fromkeys(listed, "absent")
    assert {record.image_id for record in scan.records} == set(drawn.by_id)


@pytest.mark.parametrize(
    ("layout", "table"), [("chexpert", layout_chexpert.TABLES["train"]), ("dicom", layout_dicom.LABEL_TABLE)]
)
def test_a_path_from_the_root_alone_ends_the_scan_too(draw, tmp_path, layout, table):
    usual = draw(layout, {"path_outside": 2})
    drawn = dataclasses.replace(usual, root=Path(shutil.copytree(usual.root, tmp_path / "copy")))
    upwards, from_root = (row["image_id"] for row in drawn.planted)
    path = drawn.folder / table
    path.write_text("".join(line for line in path.open() if not line.startswith(upwards)))
    # Messages show the first 60 characters of a cell.
    with pytest.raises(DataDefect, match=f"ath: expected .*, found '{from_root[:50]}"):
        drawn.scan()


def test_the_images_of_unknown_box_labels_are_there_and_have_rows(draw):
    drawn = draw("nih", {"unknown_box_label": 2})
    entries = (drawn.folder / "Data_Entry_2017.csv").read_text()
    boxes = (drawn.folder / "BBox_List_2017.csv").read_text().splitlines()
    for row in drawn.planted:
        name = row["image_id"].rpartition("/")[2]
        assert f"\n{name}," in entries
        assert (drawn.folder / row["image_id"]).is_file()
        assert [one for one in boxes if one.startswith(f"{name},Pneumonitis,")]
