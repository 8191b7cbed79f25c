from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import VOCABULARIES, LabelState
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources.base import Box, SourceScan
from cxr_tasks.sources.nih.source import SOURCE
from tests.sources.faults import assert_names_file_and_line

#: As published in 2017: brackets with commas in them, a comma at the end.
HEADER_2017 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
HEADER_2020 = HEADER_2017.rstrip(",").replace("Gender", "Sex")
SIZES = "2682,2749,0.143,0.143"
ROWS = (
    f"00000001_000.png,Cardiomegaly,0,1,57,M,PA,{SIZES}",
    f"00000001_001.png,Cardiomegaly|Effusion,1,1,58,M,AP,{SIZES}",
    f"00000002_000.png,No Finding,0,2,80,F,PA,{SIZES}",
    f"00000003_000.png,Hernia|Infiltration,0,3,74,F,PA,{SIZES}",
)
NAMES = tuple(row.split(",")[0] for row in ROWS)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
BOX_ROWS = (
    "00000001_000.png,Cardiomegaly,100.5,200,300,400.25",
    "00000003_000.png,Infiltrate,10,20,30,40,,,",
    "00000003_000.png,Infiltrate,500,20,30,40,,,",
)


@pytest.fixture
def spec() -> DatasetSpec:
    return DatasetSpec(name="nih", source="nih", vocabulary="nih14", root_env="CXR_NIH_ROOT")


@pytest.fixture
def write_nih(tmp_path: Path) -> Callable[..., Path]:
    """``write_nih(...)``: a data folder with these tables, lists and (empty) files; ``None`` leaves one out."""

    def write(
        rows: Iterable[str] = ROWS,
        *,
        header: str = HEADER_2017,
        table: str = "Data_Entry_2017.csv",
        boxes: Iterable[str] | None = BOX_ROWS,
        box_header: str = BOX_HEADER,
        train_val: Iterable[str] | None = NAMES[:3],
        test: Iterable[str] | None = NAMES[3:],
        files: Iterable[str] = tuple(f"images/{name}" for name in NAMES),
        folder: str = "data",
    ) -> Path:
        root = tmp_path / folder
        root.mkdir(parents=True, exist_ok=True)
        texts = {
            table: (header, *rows),
            "BBox_List_2017.csv": None if boxes is None else (box_header, *boxes),
            "train_val_list.txt": train_val,
            "test_list.txt": test,
        }
        for name, lines in texts.items():
            if lines is not None:
                (root / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(b"x")
        return root

    return write


def row(name: str = "00000009_000.png", labels: str = "Mass", **cells: str) -> str:
    """A row of the label table; ``cells`` replace follow_up, patient, age, sex or view."""
    values = {"follow_up": "0", "patient": str(int(name[:8])), "age": "50", "sex": "F", "view": "PA"} | cells
    return ",".join((name, labels, *values.values(), SIZES))


def scan_row(write_nih: Callable[..., Path], spec: DatasetSpec, text: str) -> SourceScan:
    name = text.partition(",")[0]
    files = {"files": [f"images/{name}"]} if name and "/" not in name else {}
    return SOURCE.scan(write_nih([text], boxes=None, train_val=None, test=None, **files), spec)


def positives(scan: SourceScan) -> dict[str, set[str]]:
    return {
        one.image_id: {finding for finding, state in one.states.items() if state is LabelState.POSITIVE}
        for one in scan.records
    }


def with_options(spec: DatasetSpec, **options: object) -> DatasetSpec:
    return dataclasses.replace(spec, options=options)


def test_a_record_holds_all_that_the_tables_say(write_nih, spec):
    scan = SOURCE.scan(write_nih(), spec)
    assert [
        (r.image_id, r.patient_id, r.study_id, r.official_split, r.view, r.sex, r.age_years) for r in scan.records
    ] == [
        ("images/00000001_000.png", "00000001", "00000001_000", "train", "pa", "male", 57.0),
        ("images/00000001_001.png", "00000001", "00000001_001", "train", "ap", "male", 58.0),
        ("images/00000002_000.png", "00000002", "00000002_000", "train", "pa", "female", 80.0),
        ("images/00000003_000.png", "00000003", "00000003_000", "test", "pa", "female", 74.0),
    ]
    assert positives(scan) == {
        "images/00000001_000.png": {"cardiomegaly"},
        "images/00000001_001.png": {"cardiomegaly", "pleural_effusion"},
        "images/00000002_000.png": set(),
        "images/00000003_000.png": {"hernia", "infiltration"},
    }
    # The table names every finding that is there, so the rest is negative and nothing unmentioned.
    assert Counter(state for one in scan.records for state in one.states.values()) == {
        LabelState.POSITIVE: 5,
        LabelState.NEGATIVE: 4 * 14 - 5,
    }
    assert scan.refusals == ()
    assert scan.notes == ("labels from Data_Entry_2017.csv",)


def test_boxes_keep_their_frame_for_ingest_to_scale(write_nih, spec):
    boxes = {one.image_id: (one.box_frame, one.boxes) for one in SOURCE.scan(write_nih(), spec).records}
    assert boxes == {
        "images/00000001_000.png": (
            (1024, 1024),
            (Box(finding="cardiomegaly", x=100.5, y=200, width=300, height=400.25),),
        ),
        "images/00000001_001.png": (None, ()),
        "images/00000002_000.png": (None, ()),
        "images/00000003_000.png": (
            (1024, 1024),
            (
                Box(finding="infiltration", x=10, y=20, width=30, height=40),
                Box(finding="infiltration", x=500, y=20, width=30, height=40),
            ),
        ),
    }


@pytest.mark.parametrize(
    "form",
    [
        {},  # 2017: header ends in a comma, rows do not
        {"rows": [f"{one}," for one in ROWS]},
        {"header": HEADER_2017.rstrip(",")},
        {"header": HEADER_2020, "table": "Data_Entry_2017_v2020.csv"},
        {"header": "\ufeff" + HEADER_2020},
        # saved again by a program that quotes what holds a comma, or numbers what has no name
        {"header": HEADER_2017.replace("OriginalImage[Width,Height]", '"OriginalImage[Width,Height]"')},
        {"header": HEADER_2017 + "Unnamed: 11", "rows": [f"{one}," for one in ROWS]},
        {"box_header": 'Image Index,Finding Label,"Bbox [x,y,w,h]"'},
        {"box_header": "Image Index,Finding Label,Bbox [x,y,w,h]", "boxes": [one.rstrip(",") for one in BOX_ROWS]},
        {"rows": [one.replace(",57,", ",057Y,").replace(",74,", ",074Y,") for one in ROWS]},  # the first publication
    ],
)
def test_all_published_forms_say_the_same(write_nih, spec, form):
    plain = SOURCE.scan(write_nih(folder="plain"), spec)
    assert SOURCE.scan(write_nih(**form), spec).records == plain.records


def test_the_version_of_2020_goes_before_that_of_2017(write_nih, spec):
    write_nih([one.replace(",57,", ",414,") for one in ROWS])
    scan = SOURCE.scan(write_nih(table="Data_Entry_2017_v2020.csv"), spec)
    assert scan.records[0].age_years == 57.0
    assert scan.notes == ("labels from Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv is there too and is not read")


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("58", 58.0),
        ("058", 58.0),
        ("060Y", 60.0),
        ("012M", 1.0),
        ("018M", 1.5),
        ("003D", 3 / 365.25),
        ("013W", 13 * 7 / 365.25),
        ("0", 0.0),
        ("58.0", 58.0),  # where a program took the column for floats
        ("120", 120.0),
    ],
)
def test_ages_in_years(write_nih, spec, text, years):
    scan = scan_row(write_nih, spec, row(age=text))
    assert scan.records[0].age_years == pytest.approx(years)


def test_impossible_and_missing_ages_are_unknown_and_counted(write_nih, spec):
    ages = ["414", "121", "148Y", "", "50"]
    names = [f"0000001{i}_000.png" for i in range(len(ages))]
    rows = [row(name, age=age) for name, age in zip(names, ages, strict=True)]
    files = [f"images/{name}" for name in names]
    scan = SOURCE.scan(write_nih(rows, boxes=None, train_val=names, test=[], files=files), spec)
    assert [one.age_years == one.age_years for one in scan.records] == [False, False, False, False, True]
    assert {"3 x age above 120 years, taken as unknown", "1 x no age given"} <= set(scan.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (row(labels="Pneumonia|Consolidaton"), "label 'Consolidaton' is not known; did you mean 'Consolidation'"),
        (row(labels="Infiltrate"), "label 'Infiltrate' is not known; did you mean 'Infiltration'"),  # of the box table
        (row(labels="effusion"), "label 'effusion' is not known.*known: Atelectasis, .*, Hernia, No Finding"),
        (row(labels="Mass|"), "label '' is not known"),
        (row(labels=""), "label '' is not known"),
        (row(labels="Mass;Nodule"), "label 'Mass;Nodule' is not known"),
        (row(labels="No Finding|Mass"), "'No Finding' together with a finding: 'No Finding|Mass'"),
        (row(age="fifty"), "Patient Age: expected years such as 58 or 058Y.*found 'fifty'"),
        (row(age="-3"), "Patient Age: expected"),
        (row(age="12X"), "Patient Age: expected"),
        (row(patient="P12"), "Patient ID: expected a whole number, found 'P12'"),
        (row(patient=""), "Patient ID: expected a whole number, found ''"),
        (row(patient="10"), "Patient ID: the image name '00000009_000.png' says another patient"),
        (row(follow_up="x"), "Follow-up #: expected a whole number, found 'x'"),
        (row(sex="W"), "Patient Gender: expected one of M, F, nothing, found 'W'"),
        (row(view="LATERAL"), "View Position: expected one of PA, AP, nothing, found 'LATERAL'"),
        ("," + row().partition(",")[2], "Image Index: expected a file name, found an empty cell"),
        ("00000009_000.png,Mass", "expected 11 cells as in the header, found 2"),
        (row() + ",0.2", "expected 11 cells as in the header, found 12"),
    ],
)
def test_a_fault_in_a_row_is_named_with_file_line_and_what_is_known(write_nih, spec, text, message):
    with pytest.raises(DataDefect, match=rf"/Data_Entry_2017\.csv, line 2: .*{message}"):
        scan_row(write_nih, spec, text)


def test_empty_sex_and_view_are_unknown(write_nih, spec):
    record = scan_row(write_nih, spec, row(sex="", view="")).records[0]
    assert (record.sex, record.view) == ("unknown", "unknown")


def test_an_image_listed_twice_is_a_defect_with_both_lines(write_nih, spec):
    root = write_nih([*ROWS, ROWS[1].replace("Effusion", "Mass")])
    with pytest.raises(DataDefect, match=r"line 6: Image Index '00000001_001\.png' stands on line 3 already; keep one"):
        SOURCE.scan(root, spec)


def test_two_names_for_one_file_are_a_defect(write_nih, spec):
    root = write_nih([*ROWS, ROWS[1].replace(".png", ".dcm")])
    with pytest.raises(
        DataDefect, match=r"line 6: '00000001_001\.dcm' is the file images/00000001_001\.png of line 3 already"
    ):
        SOURCE.scan(root, spec)


def test_a_table_without_rows_is_a_defect(write_nih, spec):
    with pytest.raises(DataDefect, match="expected a row per image, found a header and no rows"):
        SOURCE.scan(write_nih([]), spec)


@pytest.mark.parametrize(
    ("vocabulary", "of_last", "n_boxes_out"),
    [
        ("nih14", {"hernia", "infiltration"}, 0),
        ("shared7", set(), 2),  # neither hernia nor infiltration is shared
        ("pneumonia", set(), 3),
    ],
)
def test_a_vocabulary_is_filled_with_its_own_findings_only(write_nih, spec, vocabulary, of_last, n_boxes_out):
    scan = SOURCE.scan(write_nih(), dataclasses.replace(spec, vocabulary=vocabulary))
    assert {tuple(one.states) for one in scan.records} == {VOCABULARIES[vocabulary]}
    assert positives(scan)["images/00000003_000.png"] == of_last
    assert sum(len(one.boxes) for one in scan.records) == 3 - n_boxes_out
    counted = f"{n_boxes_out} x box of a finding outside the vocabulary, left out"
    assert (counted in scan.notes) == (n_boxes_out > 0)


def test_a_vocabulary_that_nih_does_not_label_is_refused(write_nih, spec):
    with pytest.raises(
        ConfigurationError, match=r"does not label no_finding, .*support_devices.*can fill: pneumonia, nih14, shared7$"
    ):
        SOURCE.scan(write_nih(), dataclasses.replace(spec, vocabulary="chexpert14"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"absent_bund": 0.1}, "'absent_bund' is not known; did you mean 'absent_bound'"),
        ({"absent_bound": 1.5}, "absent_bound: expected a value from 0 to 1, found 1.5"),
        ({"official_split": "no"}, "expected bool"),
    ],
)
def test_options_are_checked(write_nih, spec, options, message):
    with pytest.raises(ConfigurationError, match=message):
        SOURCE.scan(write_nih(), with_options(spec, **options))


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


def hundred(write_nih: Callable[..., Path], *, n_absent: int) -> Path:
    names = [f"{patient:08d}_000.png" for patient in range(1, 101)]
    files = [f"images/{name}" for name in names[n_absent:]]
    rows = [row(name) for name in names]
    return write_nih(rows, boxes=None, train_val=names[:50], test=names[50:], files=files)


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


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(line=st.integers(0, 3), column=st.integers(0, 6), cell=_text)
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_in_a_cell_is_taken_or_named_with_file_and_line(write_nih, spec, line, column, cell):
    rows = [one.split(",") for one in ROWS]
    rows[line][column] = cell
    root = write_nih([",".join(one) for one in rows])
    table = root / "Data_Entry_2017.csv"
    try:
        scan = SOURCE.scan(root, with_options(spec, absent_bound=0.5))
    except DataDefect as error:
        assert_names_file_and_line(error, table)
    else:
        assert len(scan.records) + len(scan.refusals) == 4
        for one in scan.records:
            assert 0 <= one.age_years <= 120 or one.age_years != one.age_years


@given(line=st.integers(0, 2), column=st.integers(0, 5), cell=_text)
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_text_in_a_cell_of_the_boxes_is_taken_or_named_with_file_and_line(write_nih, spec, line, column, cell):
    boxes = [one.split(",") for one in BOX_ROWS]
    boxes[line][column] = cell
    root = write_nih(boxes=[",".join(one) for one in boxes])
    try:
        scan = SOURCE.scan(root, spec)
    except DataDefect as error:
        assert_names_file_and_line(error, root / "BBox_List_2017.csv")
    else:
        assert len(scan.records) == 4
        for box in (box for one in scan.records for box in one.boxes):
            assert 0 <= box.x < box.x + box.width <= 1024 and 0 <= box.y < box.y + box.height <= 1024


_TABLES = ["Data_Entry_2017.csv", "BBox_List_2017.csv", "train_val_list.txt", "test_list.txt"]


@given(file=st.sampled_from(_TABLES), data=st.data())
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_in_a_table_are_taken_or_named_with_file_and_line(write_nih, spec, file, data):
    path = write_nih() / file
    content = path.read_bytes()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 20)))
    path.write_bytes(content[:start] + data.draw(st.binary(max_size=12)) + content[end:])
    try:
        scan = SOURCE.scan(path.parent, with_options(spec, absent_bound=0.5))
    except DataDefect as error:
        # A name that is now in both lists is told at the second of them.
        is_in_both = "is in train_val_list.txt too" in str(error)
        assert_names_file_and_line(error, path.with_name("test_list.txt") if is_in_both else path)
    else:
        assert scan.records


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
