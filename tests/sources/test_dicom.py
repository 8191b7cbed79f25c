"""The DICOM source on small trees of real DICOM files; what becomes of the files themselves is for ingest to say."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import VOCABULARIES, LabelState
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.images.dicom import patient_hash, read_dicom
from cxr_tasks.sources.base import get_source
from cxr_tasks.sources.dicom.source import SOURCE
from tests.images.dicom.files import dicom_file
from tests.sources.faults import assert_names_file_and_line

P, N, U, M = LabelState.POSITIVE, LabelState.NEGATIVE, LabelState.UNCERTAIN, LabelState.UNMENTIONED
UID = "1.2.826.0.1.3680043.8.498.{}"


@pytest.fixture(autouse=True)
def own_home(cxr_home: Path) -> Path:
    return cxr_home


def spec(vocabulary="pneumonia", **options):
    return DatasetSpec(name="mine", source="dicom", vocabulary=vocabulary, options=options)


@pytest.fixture
def make_tree(tmp_path):
    """``make_tree(table, n_files)``: files ``a/1.dcm``, ``a/2.dcm``, ... and a table of labels, lines of text."""

    def make(table: list[str], n_files: int = 3, labels: str = "labels.csv") -> Path:
        root = tmp_path / "scans"
        (root / "a").mkdir(parents=True)
        for number in range(1, n_files + 1):
            content = dicom_file(PatientID=f"PAT-{number}", SOPInstanceUID=UID.format(number))
            (root / "a" / f"{number}.dcm").write_bytes(content)
        (root / labels).write_text("\n".join(table) + "\n", encoding="utf-8")
        return root

    return make


def refused(scan):
    return {one.image_id: one.reason for one in scan.refusals}


def test_it_is_known_by_its_name():
    assert get_source("dicom") is SOURCE
    assert SOURCE.own_root(spec()) is None


def test_rows_become_records_and_the_file_tells_the_rest(make_tree):
    root = make_tree(["path,Pneumonia", "a/2.dcm,negative", "a/1.dcm,1", "a/3.dcm,"])
    scan = SOURCE.scan(root, spec())
    assert [(one.image_id, one.states["pneumonia"]) for one in scan.records] == [
        ("a/1.dcm", P),
        ("a/2.dcm", N),
        ("a/3.dcm", M),
    ]
    one = scan.records[0]
    assert (one.patient_id, one.study_id, one.view, one.sex, one.official_split) == ("", "", "unknown", "unknown", "")
    assert scan.refusals == ()
    assert scan.root == root


@pytest.mark.parametrize(
    ("cell", "state"),
    [
        ("positive", P),
        ("Positive", P),
        ("1", P),
        ("1.0", P),
        ("negative", N),
        ("0", N),
        ("0.0", N),
        ("uncertain", U),
        ("-1", U),
        ("-1.0", U),
        ('"1,0"', P),
        ("", M),
        ("unmentioned", M),
    ],
)
def test_labels_as_words_or_codes(make_tree, cell, state):
    scan = SOURCE.scan(make_tree(["path,pneumonia", f"a/1.dcm,{cell}"], 1), spec())
    assert scan.records[0].states == {"pneumonia": state}


@pytest.mark.parametrize("cell", ["2", "yes", "-2", "positiv", "nan", "0.5", "0,5", "1,00"])
def test_an_unknown_label_names_file_row_column_and_the_known_ones(make_tree, cell):
    root = make_tree(["path,pneumonia", "a/1.dcm,1", f'a/2.dcm,"{cell}"'])
    with pytest.raises(DataDefect) as caught:
        SOURCE.scan(root, spec())
    told = str(caught.value)
    assert f"{root / 'labels.csv'}, line 3: pneumonia: label {cell!r} is not known" in told
    assert "known: positive, negative, uncertain, unmentioned, nothing, 1, 1.0, 0, 0.0, -1, -1.0" in told


def test_any_vocabulary_with_columns_in_any_order_and_spelling(make_tree):
    names = [finding.replace("_", " ").title() for finding in reversed(VOCABULARIES["chexpert14"])]
    root = make_tree([",".join(["path", *names]), ",".join(["a/1.dcm", *"10"[:1] * 13, "0"])], 1)
    states = SOURCE.scan(root, spec("chexpert14")).records[0].states
    assert tuple(states) == VOCABULARIES["chexpert14"]
    assert states["no_finding"] is N  # the last column
    assert states["support_devices"] is P  # the first


def test_findings_of_another_vocabulary_are_left_out_and_told(make_tree):
    scan = SOURCE.scan(make_tree(["path,pneumonia,edema", "a/1.dcm,1,0"], 1), spec())
    assert scan.records[0].states == {"pneumonia": P}
    assert "findings outside the vocabulary, left out: edema" in scan.notes


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("path,pneumonai", "column 'pneumonai' is not known; did you mean 'pneumonia'?"),
        ("path,pneumonia,comment", "column 'comment' is not known"),
        ("path,split", "missing: pneumonia (Pneumonia)"),
        ("path,pneumonia,Pneumonia", "are the same finding"),
        ("pneumonia,split", "expected either a column 'path' or 'sop_instance_uid'"),
        ("path,sop_instance_uid,pneumonia", "found: path and sop_instance_uid"),
    ],
)
def test_a_wrong_header_names_the_column_and_the_known_ones(make_tree, header, told):
    root = make_tree([header, ",".join("1" for _ in header.split(","))], 1)
    with pytest.raises(DataDefect) as caught:
        SOURCE.scan(root, spec())
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{root / 'labels.csv'}, line 1: ")


def test_a_wrong_header_is_named_where_it_stands_and_also_without_rows(make_tree):
    root = make_tree(["", "path,pneumonai"], 1)
    with pytest.raises(DataDefect, match=r"labels\.csv, line 2: column 'pneumonai' is not known; did you mean"):
        SOURCE.scan(root, spec())


def test_split_patient_and_sub_label(make_tree):
    rows = [
        "path,pneumonia,split,patient,sub_label",
        "a/1.dcm,1,train,PAT-9,virus",
        "a/2.dcm,0,val,,",
        "a/3.dcm,0,TEST,x,",
    ]
    one, two, three = SOURCE.scan(make_tree(rows), spec()).records
    assert (one.official_split, one.patient_id, one.sub_label) == ("train", patient_hash("PAT-9"), "virus")
    assert (two.official_split, two.patient_id, two.sub_label) == ("validation", "", "")
    assert three.official_split == "test"
    assert "PAT-9" not in repr(one)


def test_a_patient_of_the_table_and_of_a_file_are_the_same_patient(make_tree):
    root = make_tree(["path,pneumonia,patient", "a/1.dcm,1,PAT-2"], 1)
    from_table = SOURCE.scan(root, spec()).records[0].patient_id
    assert from_table == read_dicom(dicom_file(PatientID="PAT-2")).header.patient_id


def test_an_unknown_split_is_an_error(make_tree):
    with pytest.raises(DataDefect, match="line 2: split: 'holdout' is not known; known: nothing, train, training, val"):
        SOURCE.scan(make_tree(["path,pneumonia,split", "a/1.dcm,1,holdout"], 1), spec())


def test_splits_and_columns_are_known_by_the_names_that_people_give_them(make_tree):
    rows = ["Path,Pneumonia,Split,Patient", "a/1.dcm,1,Training,p", "a/2.dcm,0,dev,q", "a/3.dcm,0,testing,r"]
    records = SOURCE.scan(make_tree(rows), spec()).records
    assert [one.official_split for one in records] == ["train", "validation", "test"]
    assert records[0].patient_id == patient_hash("p")


def test_of_hidden_files_that_are_listed_it_is_said_why_they_are_not_found(make_tree):
    root = make_tree(["path,pneumonia", ".scans/1.dcm,1"], 1)
    (root / "a").rename(root / ".scans")
    with pytest.raises(DataDefect, match=r"not into hidden folders \(\.name\)"):
        SOURCE.scan(root, spec())


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("listed", ["NFC", "NFD"])
def test_letters_with_accents_are_found_however_a_system_writes_them(make_tree, on_disk, listed):
    """macOS takes an accent for a letter of its own, and an archive keeps it so."""
    name = "a/Bébé.dcm"
    root = make_tree(["path,pneumonia", unicodedata.normalize(listed, f"{name},1")], 1)
    (root / "a/1.dcm").rename(root / unicodedata.normalize(on_disk, name))
    scan = SOURCE.scan(root, spec())
    assert [one.image_id for one in scan.records] == [unicodedata.normalize(on_disk, name)]
    assert scan.refusals == ()


def test_files_without_a_row_and_rows_without_a_file_are_refused_one_by_one(make_tree):
    rows = ["path,pneumonia", "a/1.dcm,1", "a/2.dcm,0", "a/9.dcm,0"]
    scan = SOURCE.scan(make_tree(rows), spec(absent_bound=0.5))
    assert [one.image_id for one in scan.records] == ["a/1.dcm", "a/2.dcm"]
    assert refused(scan) == {"a/3.dcm": "no_label", "a/9.dcm": "absent"}
    assert "labels.csv, line 4" in next(one.detail for one in scan.refusals if one.reason == "absent")


@pytest.mark.parametrize(("bound", "is_error"), [(0.0, True), (0.3, True), (0.34, False)])
def test_absent_files_have_a_bound(make_tree, bound, is_error):
    root = make_tree(["path,pneumonia", "a/1.dcm,1", "a/2.dcm,0", "a/9.dcm,0"])
    if is_error:
        with pytest.raises(DataDefect, match=r"1 of 3 listed files are absent \(33.3%.*'a/9.dcm'.*absent_bound"):
            SOURCE.scan(root, spec(absent_bound=bound))
    else:
        SOURCE.scan(root, spec(absent_bound=bound))


def test_a_table_of_which_nothing_is_there_is_always_an_error(make_tree):
    with pytest.raises(DataDefect, match="1 of 1 listed files are absent"):
        SOURCE.scan(make_tree(["path,pneumonia", "b/1.dcm,1"], 1), spec(absent_bound=1.0))


@pytest.mark.parametrize(
    ("written", "image_id"), [("./a/1.dcm", "a/1.dcm"), ("a//1.dcm", "a/1.dcm"), ("a\\1.dcm", "a/1.dcm")]
)
def test_paths_may_be_written_in_other_ways(make_tree, written, image_id):
    assert SOURCE.scan(make_tree(["path,pneumonia", f"{written},1"], 1), spec()).records[0].image_id == image_id


@pytest.mark.parametrize("written", ["../1.dcm", "/etc/passwd", "a/../../1.dcm", ""])
def test_paths_out_of_the_folder_and_none_are_errors(make_tree, written):
    with pytest.raises(DataDefect, match="line 3: path: expected"):
        SOURCE.scan(make_tree(["path,pneumonia", "a/1.dcm,1", f"{written},1"], 1), spec())


def test_one_file_in_two_rows_is_an_error_also_when_written_differently(make_tree):
    with pytest.raises(DataDefect, match="line 3: path: the same one stands on line 2 already"):
        SOURCE.scan(make_tree(["path,pneumonia", "a/1.dcm,1", "./a/1.dcm,0"], 1), spec())


def test_what_lies_beside_images_is_no_image_unless_it_is_listed(make_tree):
    root = make_tree(["path,pneumonia", "a/1.dcm,1", "odd.txt,0"], 1)
    for name in ("README.md", "DICOMDIR", ".DS_Store", "notes.txt", "odd.txt"):
        (root / name).write_text("x")
    (root / "IM000001").write_bytes(dicom_file())  # images often have no suffix
    scan = SOURCE.scan(root, spec())
    assert [one.image_id for one in scan.records] == ["a/1.dcm", "odd.txt"]
    assert refused(scan) == {"IM000001": "no_label"}
    assert {note for note in scan.notes if note.startswith("ignored")} == {
        "ignored 1 x .DS_Store",
        "ignored 1 x .md (beside the images)",
        "ignored 1 x .txt (beside the images)",
        "ignored 1 x DICOMDIR (beside the images)",
    }


def test_a_file_name_that_no_table_can_hold_is_refused(make_tree):
    root = make_tree(["path,pneumonia", "a/1.dcm,1"], 1)
    (root / os.fsdecode(b"caf\xe9.dcm")).write_bytes(b"x")
    assert refused(SOURCE.scan(root, spec())) == {"caf\\xe9.dcm": "unreadable_name"}


def test_the_table_may_have_another_name(make_tree):
    root = make_tree(["path,pneumonia", "a/1.dcm,1"], 1, labels="truth.csv")
    assert len(SOURCE.scan(root, spec(labels="truth.csv")).records) == 1
    with pytest.raises(DataDefect, match=r"expected the table of labels 'labels.csv'.*found a, truth.csv"):
        SOURCE.scan(root, spec())


@pytest.mark.parametrize("labels", ["../labels.csv", "/etc/hosts"])
def test_a_table_outside_the_folder_is_refused(make_tree, labels):
    with pytest.raises(ConfigurationError, match="leads out of the data folder"):
        SOURCE.scan(make_tree(["path,pneumonia"]), spec(labels=labels))


@pytest.mark.parametrize("options", [{"absent_bound": 2}, {"label": "x.csv"}, {"absent_bound": "much"}])
def test_wrong_options_are_named(make_tree, options):
    with pytest.raises(ConfigurationError, match="absent_bound|label"):
        SOURCE.scan(make_tree(["path,pneumonia", "a/1.dcm,1"], 1), spec(**options))


def test_a_table_without_rows_is_an_error(make_tree):
    with pytest.raises(DataDefect, match="a header and no rows"):
        SOURCE.scan(make_tree(["path,pneumonia"]), spec())


def test_files_found_by_their_object(make_tree):
    uids = [UID.format(number) for number in (2, 1, 9)]
    root = make_tree(["sop_instance_uid,pneumonia", *(f"{uid},{row}" for row, uid in enumerate(uids[:2]))], 3)
    (root / "b").mkdir()
    (root / "b" / "copy.dcm").write_bytes((root / "a" / "1.dcm").read_bytes())
    (root / "b" / "web.dcm").write_bytes(b"<html>")
    (root / "b" / "empty.dcm").write_bytes(b"")
    os.mkfifo(root / "b" / "pipe.dcm")
    (root / "b" / "link.dcm").symlink_to("/etc/hosts")
    scan = SOURCE.scan(root, spec())
    assert [(one.image_id, one.states["pneumonia"]) for one in scan.records] == [("a/1.dcm", P), ("a/2.dcm", N)]
    assert refused(scan) == {
        "a/3.dcm": "no_label",
        "b/copy.dcm": "found_twice",
        "b/web.dcm": "not_dicom",
        "b/empty.dcm": "empty_file",
        "b/pipe.dcm": "not_a_file",
        "b/link.dcm": "link_outside",
    }


def test_an_absent_object_is_told_by_its_line_and_not_by_its_uid(make_tree):
    root = make_tree(["sop_instance_uid,pneumonia", f"{UID.format(1)},1", f"{UID.format(9)},0"], 1)
    scan = SOURCE.scan(root, spec(absent_bound=0.5))
    assert refused(scan) == {"labels.csv, line 3": "absent"}
    assert UID.format(9) not in repr(scan)


def test_with_paths_no_file_is_opened(make_tree):
    root = make_tree(["path,pneumonia", "a/1.dcm,1", "a/2.dcm,1"], 2)
    os.mkfifo(root / "a" / "3.dcm")
    (root / "a" / "2.dcm").write_bytes(b"no DICOM at all")
    scan = SOURCE.scan(root, spec())
    assert len(scan.records) == 2
    assert refused(scan) == {"a/3.dcm": "no_label"}


_CELLS = st.sampled_from(
    ["a/1.dcm", "a/2.dcm", "../x", "1", "0", "-1", "", "maybe", "train", '"', "\x00", "é", ";", "1.5"]
)


@settings(max_examples=150, deadline=None)
@given(
    header=st.lists(
        st.sampled_from(["path", "sop_instance_uid", "pneumonia", "split", "patient", "x", ""]), max_size=5
    ),
    rows=st.lists(st.lists(_CELLS, max_size=5), max_size=5),
)
def test_any_table_gives_records_or_an_error_that_names_file_and_line(tmp_path_factory, header, rows):
    root = tmp_path_factory.mktemp("fuzz")
    (root / "a").mkdir()
    for name in ("1.dcm", "2.dcm"):
        (root / "a" / name).write_bytes(b"x")
    (root / "labels.csv").write_text("\n".join(",".join(cells) for cells in [header, *rows]), encoding="utf-8")
    try:
        scan = SOURCE.scan(root, spec(absent_bound=1.0))
    except DataDefect as error:
        assert_names_file_and_line(error, root / "labels.csv")
    else:
        files = [one.image_id for one in (*scan.records, *scan.refusals)]
        assert {"a/1.dcm", "a/2.dcm"} <= set(files)
