"""The published split lists and boxes."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.base import Box
from cxr_tasks.sources.nih.source import SOURCE
from tests.sources.nih.published import BOX_ROWS, NAMES, hundred, with_options


def test_the_official_split_can_be_ignored(write_nih, spec):
    scan = SOURCE.scan(write_nih(), with_options(spec, official_split=False))
    assert {one.official_split for one in scan.records} == {""}
    # Then the lists are not read at all.
    assert SOURCE.scan(write_nih(test=["00000001_000.png"]), with_options(spec, official_split=False)) == scan


def test_without_lists_there_is_no_official_split(write_nih, spec):
    scan = SOURCE.scan(write_nih(train_val=None, test=None), spec)
    assert {one.official_split for one in scan.records} == {""}
    assert "no train_val_list.txt and test_list.txt: no official split" in scan.notes


def test_one_list_alone_is_a_defect(write_nih, spec):
    with pytest.raises(DataDefect, match=r"or neither, found test_list\.txt alone"):
        SOURCE.scan(write_nih(train_val=None), spec)


def test_images_in_neither_list_have_no_official_split_and_are_counted(write_nih, spec):
    scan = SOURCE.scan(write_nih(train_val=[NAMES[0], NAMES[1], "00009999_000.png"]), spec)
    assert [one.official_split for one in scan.records] == ["train", "train", "", "test"]
    assert {
        "1 x image in neither split list: no official split",
        "1 x name in a split list that the label table does not have",
    } <= set(scan.notes)


@pytest.mark.parametrize(
    "as_listed",
    ["images/{}.png", "images_001\\{}.png", "/data/nih/images/{}.png", "./{}.png", "{}", "{}.jpg"],
)
def test_lists_may_name_images_by_a_path_of_any_system_or_without_suffix(write_nih, spec, as_listed):
    """Read as unknown names they would leave the official test split to be dealt anew, with a line in the log."""
    listed = [as_listed.format(name.removesuffix(".png")) for name in NAMES]
    root = write_nih(train_val=listed[:3], test=listed[3:])
    assert [one.official_split for one in SOURCE.scan(root, spec).records] == ["train", "train", "train", "test"]


def test_lists_of_another_table_are_a_defect(write_nih, spec):
    root = write_nih(train_val=["00009998_000.png"], test=["00009999_000.png"])
    with pytest.raises(DataDefect, match=r"none of its 4 images stands in train_val_list\.txt or test_list\.txt"):
        SOURCE.scan(root, spec)
    assert len(SOURCE.scan(root, with_options(spec, official_split=False)).records) == 4


def test_an_image_in_both_lists_is_a_defect(write_nih, spec):
    with pytest.raises(DataDefect, match=r"test_list\.txt, line 2: '00000001_000\.png' is in train_val_list\.txt too"):
        SOURCE.scan(write_nih(test=[NAMES[3], NAMES[0]]), spec)


def test_a_patient_in_both_lists_is_counted_without_a_name(write_nih, spec):
    scan = SOURCE.scan(write_nih(train_val=[NAMES[0], NAMES[2]], test=[NAMES[1], NAMES[3]]), spec)
    assert scan.notes[1:] == (
        "1 patients are in test and outside it: their 1 images from outside go to test with them",
    )


def test_a_part_without_any_test_image_is_noted(write_nih, spec):
    root = write_nih(files=[f"images/{name}" for name in NAMES[:3]])
    scan = SOURCE.scan(root, with_options(spec, absent_bound=0.5))
    assert "no image on disk is in test_list.txt: no official test split" in scan.notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("00000001_000.png,Cardiomegali,1,2,3,4", "label 'Cardiomegali' is not known; did you mean 'Cardiomegaly'"),
        ("00000001_000.png,Cardiomegaly,1,2,3,", "h: expected a number from 0 to 10000, found ''"),
        ("00000001_000.png,Cardiomegaly,1,two,3,4", "y: expected a number from -10000 to 10000, found 'two'"),
        ("00000001_000.png,Cardiomegaly,1,2,0,4", "expected a box with an area inside .* found x 1, w 0"),
        ("00000001_000.png,Cardiomegaly,1030,2,30,4", "expected a box with an area inside .* found x 1030, w 30"),
        (",Cardiomegaly,1,2,3,4", "Image Index: expected a file name"),
        ("00000001_000.png,Cardiomegaly,1,2,3", "expected 6 cells"),
    ],
)
def test_a_fault_in_a_box_is_named_with_file_and_line(write_nih, spec, text, message):
    with pytest.raises(DataDefect, match=rf"/BBox_List_2017\.csv, line 3: .*{message}"):
        SOURCE.scan(write_nih(boxes=[BOX_ROWS[0], text]), spec)


def test_odd_boxes_are_kept_cut_or_left_out_and_counted(write_nih, spec):
    boxes = [
        "00000001_000.png,Cardiomegaly,-4,1000,104,100",  # over two edges
        "00000001_000.png,Mass,1,2,3,4",  # its image has no such label
        "00004444_000.png,Mass,1,2,3,4",  # its image is not in the table
    ]
    scan = SOURCE.scan(write_nih(boxes=boxes), spec)
    assert scan.records[0].boxes == (
        Box(finding="cardiomegaly", x=0, y=1000, width=100, height=24),
        Box(finding="mass", x=1, y=2, width=3, height=4),
    )
    assert set(scan.notes[1:]) == {
        "1 x box that reaches over the edge of its image, cut",
        "1 x box of a finding that the label of its image does not name, kept",
        "1 x box of an image that the label table does not have, left out",
    }


def test_rows_with_the_same_labels_share_their_states(write_nih, spec):
    scan = SOURCE.scan(hundred(write_nih, n_absent=0), spec)
    assert len({id(one.states) for one in scan.records}) == 1
