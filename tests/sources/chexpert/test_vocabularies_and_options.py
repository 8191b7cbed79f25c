"""What is left alone, vocabularies and options."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import VOCABULARIES
from tests.sources.chexpert.scanning import FIRST, NEGATIVE, POSITIVE, UNMENTIONED, many, scan
from tests.sources.chexpert_files import SMALL, Chexpert, row


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
