"""Splits, views, and images that are absent, listed twice or converted."""

from __future__ import annotations

import shutil

import pytest

from cxr_tasks.contracts.errors import DataDefect
from tests.sources.chexpert.scanning import FIRST, LATERAL, ids, many, scan
from tests.sources.chexpert_files import SMALL, Chexpert, default_train, row, write_table


@pytest.mark.parametrize(
    ("meaning", "splits"),
    [("test", ["train"] * 3 + ["test"]), ("validation", ["train"] * 3 + ["validation"]), ("ignore", ["train"] * 3)],
)
def test_meaning_of_the_official_validation_table(tmp_path, meaning, splits):
    found = scan(Chexpert().write(tmp_path), official_valid=meaning)
    assert [record.official_split for record in found.records] == splits


def test_without_the_validation_table_the_option_is_named(tmp_path):
    root = Chexpert().write(tmp_path)
    (root / SMALL / "valid.csv").unlink()
    with pytest.raises(DataDefect, match=r"valid\.csv: expected a file, found none; .* official_valid: ignore"):
        scan(root)
    shutil.rmtree(root / SMALL / "valid")
    assert len(scan(root, official_valid="ignore").records) == 3


def test_lateral_images_on_request(tmp_path):
    found = scan(Chexpert().write(tmp_path), frontal_only=False)
    assert [record.view for record in found.records] == ["ap", "pa", "ap", "lateral", "ap"]
    assert found.notes == ()


def test_absent_images_are_refused_one_by_one(tmp_path):
    train = many(39)
    root = Chexpert(train=train).write(tmp_path, without=[FIRST, train[20]["Path"].removeprefix(f"{SMALL}/")])
    found = scan(root)
    assert len(found.records) == 38
    assert [(one.image_id, one.reason) for one in found.refusals] == [
        (FIRST, "absent"),
        ("train/patient00021/study1/view1_frontal.jpg", "absent"),
    ]
    assert found.refusals[1].detail == "train.csv, line 22 lists it; no such file is in the data folder"
    assert "2 listed images are absent" in found.notes


@pytest.mark.parametrize(("bound", "is_enough"), [(0.04, False), (0.05, True), (0.06, True), (0, False)])
def test_too_many_absent_images_are_an_error(tmp_path, bound, is_enough):
    train = many(39)  # and one in valid.csv: 2 of 40 are absent
    root = Chexpert(train=train).write(tmp_path, without=[one["Path"].removeprefix(f"{SMALL}/") for one in train[:2]])
    if is_enough:
        assert len(scan(root, absent_bound=bound).records) == 38
    else:
        with pytest.raises(DataDefect, match=r"2 of 40 listed images are absent, the first of train\.csv, line 2"):
            scan(root, absent_bound=bound)


def test_an_absent_lateral_image_does_not_count_where_only_frontal_ones_are_read(tmp_path):
    root = Chexpert().write(tmp_path, without=[LATERAL])
    assert [(one.image_id, one.reason) for one in scan(root, absent_bound=0).refusals] == [(LATERAL, "lateral_view")]
    found = scan(root, absent_bound=0.5, frontal_only=False).refusals
    assert [(one.image_id, one.reason) for one in found] == [(LATERAL, "absent")]


def test_nothing_but_lateral_images_is_an_error(tmp_path):
    root = Chexpert(train=[row("train/patient00001/study1/view1_lateral.jpg")]).write(tmp_path)
    with pytest.raises(DataDefect, match="the tables leave no image to read"):
        scan(root, official_valid="ignore")


def test_an_image_listed_twice_names_both_lines(tmp_path):
    again = row(FIRST)
    again["Path"] = again["Path"].replace(SMALL, "CheXpert-v1.0")  # the same image under the other copy's name
    root = Chexpert().write(tmp_path)
    write_table(root / SMALL / "train.csv", Chexpert.columns, [*default_train(), again])
    with pytest.raises(DataDefect, match=r"train\.csv, line 6: the image stands in train\.csv, line 2 already"):
        scan(root)


def test_name_and_column_that_contradict_each_other_are_refused(tmp_path):
    odd = row("train/patient00003/study1/view1_lateral.jpg", **{"Frontal/Lateral": "Frontal", "AP/PA": "AP"})
    found = scan(Chexpert(train=[*default_train(), odd]).write(tmp_path))
    assert len(found.records) == 4
    assert [(one.image_id, one.reason) for one in found.refusals] == [
        (LATERAL, "lateral_view"),
        ("train/patient00003/study1/view1_lateral.jpg", "view_conflict"),
    ]
    assert "line 6: Frontal/Lateral says Frontal, the file name says lateral" in found.refusals[1].detail


@pytest.mark.parametrize("suffix", [".png", ".dcm", ".JPG", ""])
def test_a_converted_image_stands_in_for_the_listed_one(tmp_path, suffix):
    root = Chexpert().write(tmp_path)
    image = root / SMALL / FIRST
    converted = image.rename(image.with_suffix(suffix))
    image.with_suffix(".txt").write_text("a side file")
    found = scan(root)
    assert ids(found)[0] == converted.relative_to(root / SMALL).as_posix()
    assert found.notes[-1] == "ignored 1 x file listed in no row of train.csv"


def test_two_conversions_of_one_image_are_not_guessed_between(tmp_path):
    root = Chexpert().write(tmp_path, without=[FIRST])
    for suffix in (".png", ".dcm"):
        image = (root / SMALL / FIRST).with_suffix(suffix)
        image.parent.mkdir(parents=True, exist_ok=True)
        image.touch()
    assert [one.image_id for one in scan(root, absent_bound=0.5).refusals] == [FIRST, LATERAL]
