"""Where the images may lie."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.nih.source import SOURCE
from tests.sources.nih.published import NAMES


@pytest.mark.parametrize(
    "places",
    [
        ["images"] * 4,
        [""] * 4,  # beside the tables
        ["images_001/images", "images_001/images", "images_002/images", "images_012/images"],
        ["images_001", "images_001", "images_002", "images_012"],
    ],
)
def test_images_lie_where_the_archives_put_them(write_nih, spec, places):
    files = [f"{place}/{name}".lstrip("/") for place, name in zip(places, NAMES, strict=True)]
    scan = SOURCE.scan(write_nih(files=files), spec)
    assert [one.image_id for one in scan.records] == files
    assert len(scan.notes) == 1


def test_the_folder_an_archive_unpacks_to_is_found(write_nih, spec):
    root = write_nih(folder="data/CXR8")
    scan = SOURCE.scan(root.parent, spec)
    assert scan.root == root
    assert len(scan.records) == 4


def test_two_data_sets_in_one_folder_are_not_mixed(write_nih, spec):
    write_nih(folder="data/one")
    root = write_nih(folder="data/two").parent
    with pytest.raises(DataDefect, match="found a label table in each of one, two; give one of them"):
        SOURCE.scan(root, spec)


def test_converted_images_are_found_by_their_stem(write_nih, spec):
    files = ["images/00000001_000.dcm", "images/00000001_001.PNG", "images/00000002_000", "images/00000003_000.jpg"]
    assert [one.image_id for one in SOURCE.scan(write_nih(files=files), spec).records] == files


def test_a_file_of_the_listed_name_goes_before_one_of_its_stem(write_nih, spec):
    root = write_nih(files=[*(f"images/{name}" for name in NAMES), "images/00000001_000.dcm"])
    scan = SOURCE.scan(root, spec)
    assert scan.records[0].image_id == "images/00000001_000.png"
    assert "1 x image file that no row uses, not read" in scan.notes


def test_another_layout_is_answered_with_what_was_found(make_folder, spec):
    with pytest.raises(DataDefect, match=r"expected Data_Entry_2017_v2020\.csv or .*found labels\.csv, scans, 2 image"):
        SOURCE.scan(make_folder(["labels.csv", "scans/1.png", "a.png", "b.png"]), spec)
