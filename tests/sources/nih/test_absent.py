"""Listed images that are absent, twice, or in folders of other names."""

from __future__ import annotations

import shutil

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.nih.source import SOURCE
from tests.sources.nih.published import NAMES, ROWS, hundred, row, with_options


def test_absent_images_are_counted_and_refused_one_by_one(write_nih, spec):
    scan = SOURCE.scan(hundred(write_nih, n_absent=5), spec)
    assert len(scan.records) == 95
    assert [(one.image_id, one.reason) for one in scan.refusals] == [
        (f"0000000{i}_000.png", "absent") for i in range(1, 6)
    ]
    assert scan.refusals[0].detail.startswith("listed in Data_Entry_2017.csv, line 2,")
    assert "5 x listed image absent from disk" in scan.notes


def test_too_many_absent_images_say_how_many_which_and_where_was_looked(write_nih, spec):
    root = hundred(write_nih, n_absent=6)
    (root / "images_002.tar.gz").write_bytes(b"x")
    (root / "images_003").symlink_to(root / "images")
    with pytest.raises(DataDefect) as caught:
        SOURCE.scan(root, spec)
    for part in (
        "6 of 100 listed images are absent (6.0%, at most 5.0% expected), the first: '00000001_000.png'",
        "looked in the folder itself, images below",
        "1 linked folders were not entered",
        "not unpacked: images_002.tar.gz",
        "dataset.options.absent_bound",
    ):
        assert part in str(caught.value)
    assert len(SOURCE.scan(root, with_options(spec, absent_bound=0.06)).records) == 94


def test_without_any_image_no_bound_helps(write_nih, spec):
    with pytest.raises(DataDefect, match="4 of 4 listed images are absent"):
        SOURCE.scan(write_nih(files=[]), with_options(spec, absent_bound=1.0))


def test_an_image_in_two_folders_is_refused_with_both_places(write_nih, spec):
    files = [*(f"images_001/images/{name}" for name in NAMES), f"images_002/images/{NAMES[2]}"]
    scan = SOURCE.scan(write_nih(files=files), spec)
    assert len(scan.records) == 3
    (refusal,) = scan.refusals
    assert refusal.reason == "found_twice"
    assert "2 files: images_001/images/00000002_000.png, images_002/images/00000002_000.png" in refusal.detail


def test_what_no_row_names_is_counted_and_left_alone(write_nih, spec):
    files = [
        *(f"images/{name}" for name in NAMES),
        "images/00000077_000.png",
        "images/.DS_Store",
        "images/._00000001_000.png",
        "images/@eaDir/00000001_000.png",
        "__MACOSX/images/00000001_000.png",
        "masks/00000001_000.png",
        "README_CHESTXRAY.pdf",
    ]
    scan = SOURCE.scan(write_nih(files=files), spec)
    assert len(scan.records) == 4
    assert set(scan.notes[1:]) == {
        "1 x image file that no row uses, not read",
        "ignored 1 x .DS_Store",
        "ignored 1 x ._*",
        "ignored 1 x @eaDir",
        "ignored 1 x __MACOSX",
        "ignored 1 x folder masks (not in the layout)",
        "ignored 1 x files that are no images",
    }


@pytest.mark.parametrize(
    "places",
    [
        ["sample/images"] * 4,
        ["images-224/images-224"] * 4,
        ["train", "train", "valid", "test"],
        ["data/train", "data/test", "data/train", "data/test"],
        ["00000001", "00000001", "00000002", "00000003"],  # a folder per patient
        ["NIH images (PNG)"] * 4,
    ],
)
def test_images_elsewhere_are_found(write_nih, spec, places):
    files = [f"{place}/{name}" for place, name in zip(places, NAMES, strict=True)]
    beside = [f"{folder}/{NAMES[0]}" for folder in ("masks", "sample/lung_masks", "__MACOSX/sample")]
    scan = SOURCE.scan(write_nih(files=[*files, *beside]), spec)
    assert [one.image_id for one in scan.records] == sorted(files)
    assert [one.official_split for one in sorted(scan.records, key=lambda one: one.image_id.rpartition("/")[2])] == [
        *("train", "train", "train", "test")
    ]
    assert sum(len(one.boxes) for one in scan.records) == 3
    assert any(note.startswith("images are looked for in all folders") for note in scan.notes)


def test_where_the_published_folders_hold_the_images_no_other_is_entered(write_nih, spec):
    files = [f"images/{name}" for name in NAMES] + [f"small/{name}" for name in NAMES]
    scan = SOURCE.scan(write_nih(files=files), spec)
    assert [one.image_id for one in scan.records] == files[:4]
    assert "ignored 1 x folder small (not in the layout)" in scan.notes


def test_images_in_several_other_folders_are_not_guessed(write_nih, spec):
    files = [f"{folder}/{name}" for folder in ("large", "small/224") for name in NAMES]
    with pytest.raises(DataDefect) as caught:
        SOURCE.scan(write_nih(files=files), spec)
    assert "4 of 4 listed images lie in several places" in str(caught.value)
    assert "large (4 files), small (4 files). Keep the images in one of them" in str(caught.value)


def test_folders_that_hold_such_images_and_were_not_looked_into_are_named(write_nih, spec):
    with pytest.raises(DataDefect) as caught:
        SOURCE.scan(write_nih(files=[f"segmentations/{name}" for name in NAMES]), spec)
    assert "not looked into, and hold files of these names: segmentations (4 files)" in str(caught.value)
    assert "absent_bound to work" not in str(caught.value)


def test_images_beside_the_folder_of_the_table_are_named(write_nih, spec, tmp_path):
    write_nih(folder="given/tables", files=[])
    write_nih(folder="given/pictures", table="unused.csv", boxes=None, train_val=None, test=None, files=NAMES)
    with pytest.raises(DataDefect, match=r"hold files of these names: pictures \(4 files\)"):
        SOURCE.scan(tmp_path / "given", spec)


@pytest.mark.data
@pytest.mark.parametrize(("case", "first"), [("a", "sample/images"), ("b", "images-224/images-224")])
def test_the_cases_of_images_elsewhere_are_found(shared_data, spec, case, first):
    scan = SOURCE.scan(shared_data / "cases" / "nih_images_elsewhere" / case, spec)
    assert [one.image_id for one in scan.records] == [f"{first}/0000000{number}_000.png" for number in range(1, 5)]
    assert scan.refusals == ()


def test_a_listed_name_never_leads_out_of_the_folder(write_nih, spec, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"x")
    rows = [*ROWS, row().replace("00000009_000.png", "../../secret.png")]
    scan = SOURCE.scan(write_nih(rows), with_options(spec, absent_bound=0.5))
    assert [(one.image_id, one.reason) for one in scan.refusals] == [("../../secret.png", "absent")]


def test_linked_image_folders_and_tables_from_outside_are_not_read(write_nih, spec, tmp_path):
    root = write_nih()
    shutil.move(root / "images", tmp_path / "elsewhere")
    (root / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataDefect, match="4 of 4 listed images are absent.*1 linked folders were not entered"):
        SOURCE.scan(root, spec)
    (root / "images").unlink()
    for name in ("Data_Entry_2017.csv", "BBox_List_2017.csv", "test_list.txt"):
        shutil.move(root / name, tmp_path / name)
        (root / name).symlink_to(tmp_path / name)
        with pytest.raises(DataDefect, match=f"{name}: this link leads out of the data folder"):
            SOURCE.scan(root, spec)
        (root / name).unlink()
        shutil.move(tmp_path / name, root / name)
