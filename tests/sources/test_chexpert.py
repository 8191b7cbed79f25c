from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import CHEXPERT_SPELLINGS, VOCABULARIES, LabelState
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources.base import SourceScan
from cxr_tasks.sources.chexpert.source import SOURCE
from tests.sources.chexpert_files import SMALL, Chexpert, default_train, default_valid, row, write_table
from tests.sources.faults import assert_names_file_and_line

POSITIVE, NEGATIVE = LabelState.POSITIVE, LabelState.NEGATIVE
UNCERTAIN, UNMENTIONED = LabelState.UNCERTAIN, LabelState.UNMENTIONED
FIRST = "train/patient00001/study1/view1_frontal.jpg"
LATERAL = "train/patient00002/study2/view2_lateral.jpg"


def scan(root: Path, vocabulary: str = "chexpert14", **options: object) -> SourceScan:
    return SOURCE.scan(root, DatasetSpec(name="c", source="chexpert", vocabulary=vocabulary, options=options))


def ids(found: SourceScan) -> list[str]:
    return [record.image_id for record in found.records]


def test_patient_study_view_sex_age_and_split_are_kept(tmp_path):
    found = scan(Chexpert().write(tmp_path))
    assert found.root == tmp_path / SMALL
    assert [
        (r.image_id, r.patient_id, r.study_id, r.view, r.sex, r.age_years, r.official_split) for r in found.records
    ] == [
        (FIRST, "patient00001", "patient00001/study1", "ap", "female", 68, "train"),
        (
            "train/patient00002/study1/view1_frontal.jpg",
            "patient00002",
            "patient00002/study1",
            "pa",
            "male",
            61,
            "train",
        ),
        (
            "train/patient00002/study2/view1_frontal.jpg",
            "patient00002",
            "patient00002/study2",
            "ap",
            "male",
            61,
            "train",
        ),
        (
            "valid/patient64541/study1/view1_frontal.jpg",
            "patient64541",
            "patient64541/study1",
            "ap",
            "male",
            61,
            "test",
        ),
    ]
    # By name, so that the dataset's provenance, card and report can say how many were left out.
    assert [(one.image_id, one.reason) for one in found.refusals] == [(LATERAL, "lateral_view")]
    assert found.notes == ("1 lateral images left out (option frontal_only)",)


def test_labels_stand_in_the_order_of_the_vocabulary(tmp_path):
    found = scan(Chexpert().write(tmp_path))
    findings = VOCABULARIES["chexpert14"]
    assert all(tuple(record.states) == findings for record in found.records)
    said = [{name: state for name, state in r.states.items() if state is not UNMENTIONED} for r in found.records]
    assert said[:3] == [
        {"no_finding": POSITIVE},
        {"edema": UNCERTAIN, "lung_opacity": POSITIVE},
        {"pleural_effusion": NEGATIVE},
    ]
    assert said[3] == {**dict.fromkeys(findings, NEGATIVE), "cardiomegaly": POSITIVE}


@pytest.mark.parametrize(
    ("cell", "state"),
    [
        ("1.0", POSITIVE),
        ("0.0", NEGATIVE),
        ("-1.0", UNCERTAIN),
        ("", UNMENTIONED),
        ("1", POSITIVE),  # copies saved by a spreadsheet
        ("0", NEGATIVE),
        ("-1", UNCERTAIN),
    ],
)
@pytest.mark.parametrize("column", ["No Finding", "Edema", "Support Devices"])
def test_codes(tmp_path, column, cell, state):
    found = scan(Chexpert(train=[row(FIRST, **{column: cell})]).write(tmp_path))
    states = dict(found.records[0].states)
    assert states.pop(CHEXPERT_SPELLINGS[column]) is state
    assert set(states.values()) == {UNMENTIONED}


@pytest.mark.parametrize("cell", ["2.0", "1.00", "True", "positive", "-1.0.", "nan", "u"])
def test_another_code_names_file_line_column_value_and_the_known_ones(tmp_path, cell):
    root = Chexpert(train=[*default_train(), row("train/patient7/study1/view1_frontal.jpg", Edema=cell)]).write(
        tmp_path
    )
    with pytest.raises(DataDefect) as caught:
        scan(root)
    text = str(caught.value)
    assert text.startswith(f"{root / SMALL / 'train.csv'}, line 6: Edema: {cell!r} is not known")
    assert text.endswith("known: 1.0, 0.0, -1.0, blank, 1, 0, -1")


@pytest.mark.parametrize(
    ("direction", "projection", "view"),
    [
        ("Frontal", "AP", "ap"),
        ("Frontal", "PA", "pa"),
        ("Frontal", "", "unknown"),
        ("Frontal", "LL", "unknown"),  # a lateral projection on a frontal row
        ("Frontal", "RL", "unknown"),
        ("Lateral", "", "lateral"),
        ("Lateral", "LL", "lateral"),
    ],
)
def test_views(tmp_path, direction, projection, view):
    path = f"train/patient00001/study1/view1_{direction.lower()}.jpg"
    found = scan(Chexpert(train=[row(path, **{"AP/PA": projection})]).write(tmp_path), frontal_only=False)
    assert found.records[0].view == view
    odd = "1 frontal images with the projection LL or RL, taken as view 'unknown'"
    assert (odd in found.notes) == (direction == "Frontal" and projection in {"LL", "RL"})


@pytest.mark.parametrize(
    ("cell", "age"),
    [
        ("18", 18.0),
        ("90", 90.0),  # 90 and older
        ("61.0", 61.0),
        ("0", math.nan),  # not known: the patients are adults
        ("", math.nan),
    ],
)
def test_ages(tmp_path, cell, age):
    found = scan(Chexpert(train=[row(FIRST, Age=cell)]).write(tmp_path))
    assert found.records[0].age_years == pytest.approx(age, nan_ok=True)
    assert ("1 ages of 0, taken as unknown" in found.notes) == (cell == "0")


@pytest.mark.parametrize(
    ("cell", "sex"), [("Male", "male"), ("Female", "female"), ("Unknown", "unknown"), ("", "unknown")]
)
def test_sexes(tmp_path, cell, sex):
    assert scan(Chexpert(train=[row(FIRST, Sex=cell)]).write(tmp_path)).records[0].sex == sex


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("Sex", "M"),
        ("Sex", "male"),
        ("Age", "-4"),
        ("Age", "old"),
        ("Age", "121"),
        ("Age", "nan"),
        ("Frontal/Lateral", ""),
        ("Frontal/Lateral", "frontal"),
        ("AP/PA", "ap"),
        ("AP/PA", "Lateral"),
        ("Path", ""),
        ("Path", "CheXpert-v1.0-small/train/../../../etc/passwd"),
        ("Path", "/etc/passwd"),
        ("Path", "../train/patient00001/study1/view1_frontal.jpg"),
        ("Path", "CheXpert-v1.0-small/train/patient00001/study1/../view1_frontal.jpg"),
        ("Path", "CheXpert-v1.0-small\\train\\patient00001\\study1\\view1_frontal.jpg"),
        ("Path", "CheXpert-v1.0-small/train/patient00001/view1_frontal.jpg"),  # no study
        ("Path", "CheXpert-v1.0-small/train/patient00001/study1/view1.jpg"),  # no direction
        ("Path", "CheXpert-v1.0-small/train/patient٣/study1/view1_frontal.jpg"),  # digits of another script
        ("Path", "CheXpert-v1.0-small/test/patient00001/study1/view1_frontal.jpg"),  # no such split
        ("Path", "CheXpert-v1.0-small/valid/patient00009/study1/view1_frontal.jpg"),  # the other table's
    ],
)
def test_other_cells_that_are_not_understood_name_file_line_and_column(tmp_path, column, cell):
    root = Chexpert().write(tmp_path)
    write_table(root / SMALL / "train.csv", Chexpert.columns, [*default_train(), row(FIRST, **{column: cell})])
    with pytest.raises(DataDefect, match=r"train\.csv, line 6: ") as caught:
        scan(root)
    assert f": {column}: " in str(caught.value)


@pytest.mark.parametrize("column", ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "Edema"])
def test_a_missing_column_is_named(tmp_path, column):
    root = Chexpert(columns=[one for one in Chexpert.columns if one != column]).write(tmp_path)
    with pytest.raises(DataDefect, match=rf"train\.csv, line 1: expected a column '{column}'"):
        scan(root)


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("CheXpert-v1.0-small", ""),  # TFDS's manual_dir
        ("CheXpert-v1.0", ""),  # full size
        ("CheXpert-v1.0-small", "CheXpert-v1.0-small"),  # the folder itself
        ("anything", "anything"),  # the folder itself, renamed
    ],
)
def test_layouts(tmp_path, folder, root):
    found = scan(Chexpert().write(tmp_path, folder) / root)
    assert found.root == tmp_path / folder
    assert ids(found)[0] == FIRST
    assert len(ids(found)) == 4


def make_batches(root: Path) -> Path:
    """The archives of 2021, each unpacked into its own folder."""
    Chexpert().write(root, "CheXpert-v1.0")
    first, second, third = (
        root / f"CheXpert-v1.0 batch {name}" for name in ("1 (validate & csv)", "2 (train 1)", "3 (train 2)")
    )
    whole = root / "CheXpert-v1.0"
    third.mkdir()
    (whole / "train" / "patient00002").rename(third / "patient00002")
    (whole / "train").rename(second)
    whole.rename(first)
    return root


def test_archives_side_by_side(tmp_path):
    found = scan(make_batches(tmp_path))
    assert found.root == tmp_path
    assert ids(found) == [
        "CheXpert-v1.0 batch 1 (validate & csv)/valid/patient64541/study1/view1_frontal.jpg",
        "CheXpert-v1.0 batch 2 (train 1)/patient00001/study1/view1_frontal.jpg",
        "CheXpert-v1.0 batch 3 (train 2)/patient00002/study1/view1_frontal.jpg",
        "CheXpert-v1.0 batch 3 (train 2)/patient00002/study2/view1_frontal.jpg",
    ]
    assert [record.official_split for record in found.records] == ["test", "train", "train", "train"]
    assert all((tmp_path / one).is_file() for one in ids(found))


def test_one_archive_alone_is_a_part_when_the_options_say_so(tmp_path):
    root = make_batches(tmp_path)
    shutil.rmtree(root / "CheXpert-v1.0 batch 3 (train 2)")
    with pytest.raises(DataDefect, match=r"2 of 4 listed images are absent.*train\.csv, line 3; 5% may be"):
        scan(root)
    found = scan(root, absent_bound=1)
    assert [record.patient_id for record in found.records] == ["patient64541", "patient00001"]
    assert {one.reason for one in found.refusals} == {"absent", "lateral_view"}


def test_the_archive_of_the_tables_alone_names_the_folder_to_give(tmp_path):
    root = make_batches(tmp_path)
    with pytest.raises(DataDefect, match="give the folder that holds all batches") as caught:
        scan(root / "CheXpert-v1.0 batch 1 (validate & csv)")
    assert str(root) in str(caught.value)


def test_the_same_image_in_two_archives_is_an_error(tmp_path):
    root = make_batches(tmp_path)
    shutil.copytree(root / "CheXpert-v1.0 batch 3 (train 2)", root / "CheXpert-v1.0 batch 4 (train 3)")
    with pytest.raises(DataDefect, match=r"batch 3 .*batch 4 .* are one image of train\.csv"):
        scan(root)


def test_two_copies_ask_which_is_meant(tmp_path):
    Chexpert().write(tmp_path, "CheXpert-v1.0")
    Chexpert().write(tmp_path, "CheXpert-v1.0-small")
    with pytest.raises(DataDefect, match="found 'CheXpert-v1.0', 'CheXpert-v1.0-small'; give one"):
        scan(tmp_path)


def test_another_folder_says_what_was_expected_and_found(tmp_path):
    (tmp_path / "NORMAL").mkdir()
    with pytest.raises(DataDefect, match=r"expected CheXpert-v1\.0-small .*; found NORMAL"):
        scan(tmp_path)


def test_tables_without_images_say_so(tmp_path):
    root = Chexpert().write(tmp_path)
    shutil.rmtree(root / SMALL / "train")
    with pytest.raises(DataDefect, match=r"expected the images of train\.csv in a folder 'train', found train\.csv, v"):
        scan(root)


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


def many(n_images: int) -> list[dict[str, str]]:
    return [row(f"train/patient{number:05d}/study1/view1_frontal.jpg") for number in range(1, n_images + 1)]


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


def test_files_in_no_table_and_litter_are_noted_and_ignored(tmp_path):
    root = Chexpert().write(tmp_path)
    study = root / SMALL / "train/patient00001/study1"
    for name in ("view9_frontal.jpg", ".DS_Store", "._view1_frontal.jpg", "Thumbs.db"):
        (study / name).touch()
    found = scan(root)
    assert len(found.records) == 4
    assert found.notes[1:] == (
        "ignored 1 x .DS_Store",
        "ignored 1 x ._*",
        "ignored 1 x Thumbs.db",
        "ignored 1 x file listed in no row of train.csv",
    )


@pytest.mark.parametrize("link", ["train", "train.csv"])
def test_links_that_lead_out_of_the_folder_are_refused(tmp_path, link):
    root = Chexpert().write(tmp_path / "given")
    elsewhere = tmp_path / "elsewhere"
    (root / SMALL / link).rename(elsewhere)
    (root / SMALL / link).symlink_to(elsewhere)
    with pytest.raises(DataDefect, match=f"{link}: is a link that leads out of"):
        scan(root)


def test_the_data_folder_is_only_read(tmp_path):
    root = Chexpert().write(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))}
    scan(root)
    assert {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))} == before


@pytest.mark.parametrize("vocabulary", ["chexpert14", "shared7", "pneumonia"])
def test_vocabularies_of_chexperts_findings(tmp_path, vocabulary):
    found = scan(Chexpert().write(tmp_path), vocabulary)
    assert all(tuple(record.states) == VOCABULARIES[vocabulary] for record in found.records)


def test_shared_findings_are_those_of_the_columns_of_their_name(tmp_path):
    train = [row(FIRST, **{"Pleural Effusion": "1.0", "Edema": "0.0", "Fracture": "1.0"})]
    assert dict(scan(Chexpert(train=train).write(tmp_path), "shared7").records[0].states) == {
        "atelectasis": UNMENTIONED,
        "cardiomegaly": UNMENTIONED,
        "consolidation": UNMENTIONED,
        "edema": NEGATIVE,
        "pleural_effusion": POSITIVE,
        "pneumonia": UNMENTIONED,
        "pneumothorax": UNMENTIONED,
    }


def test_a_vocabulary_that_chexpert_cannot_fill_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"does not label infiltration, .*: pneumonia, chexpert14, shared7"):
        scan(Chexpert().write(tmp_path), "nih14")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frontal": True}, "'frontal' is not known; did you mean 'frontal_only'"),
        ({"frontal_only": "no"}, "expected bool, found str 'no'"),
        ({"official_valid": "train"}, "'train' is not known"),
        ({"absent_bound": 1.5}, "absent_bound: expected a value from 0 to 1"),
    ],
)
def test_options_are_checked(tmp_path, options, message):
    with pytest.raises(ConfigurationError, match=message):
        scan(tmp_path, **options)


def test_equal_values_are_one_object(tmp_path):
    found = scan(Chexpert(train=many(50)).write(tmp_path))
    assert len({id(record.states) for record in found.records}) == 2  # one in train, one in valid
    assert len({id(record.age_years) for record in found.records}) == 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    column=st.sampled_from(Chexpert.columns),
    cell=st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=40),
        st.floats(allow_nan=True).map(str),
        st.sampled_from(["1.0", "0", "-1", "Male", "AP", '"', "a,b", "x\ny", "\0", "\ufeff", f"{SMALL}/{FIRST}"]),
    ),
)
def test_any_cell_is_read_or_named_with_file_and_line(tmp_path, column, cell):
    root = tmp_path if (tmp_path / SMALL).exists() else Chexpert().write(tmp_path)
    rows = default_train()
    rows[1][column] = cell
    write_table(root / SMALL / "train.csv", Chexpert.columns, rows)
    try:
        found = scan(root, absent_bound=1)
    except DataDefect as error:
        assert_names_file_and_line(error, root / SMALL / "train.csv")
    else:
        assert len(found.records) + len(found.refusals) >= 3


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["train.csv", "valid.csv"]),
    place=st.integers(0, 900),
    damage=st.binary(min_size=1, max_size=8),
)
def test_any_damage_to_the_bytes_of_a_table_is_read_or_named(tmp_path, name, place, damage):
    root = tmp_path if (tmp_path / SMALL).exists() else Chexpert().write(tmp_path)
    write_table(root / SMALL / "train.csv", Chexpert.columns, default_train())
    write_table(root / SMALL / "valid.csv", Chexpert.columns, default_valid())
    table = root / SMALL / name
    whole = table.read_bytes()
    table.write_bytes(whole[:place] + damage + whole[place + len(damage) :])
    try:
        scan(root, absent_bound=1)
    except DataDefect as error:
        assert_names_file_and_line(error, table)


def test_the_shipped_recipe_asks_for_this_source_and_options_it_knows(tmp_path):
    recipe = load_recipe("chexpert_cnn")
    found = SOURCE.scan(Chexpert().write(tmp_path), recipe.dataset)
    assert recipe.dataset.root_env == "CXR_CHEXPERT_ROOT"
    assert tuple(found.records[0].states) == recipe.findings
