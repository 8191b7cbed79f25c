from __future__ import annotations

import csv
from collections import Counter

import pytest

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.images.dicom import is_dicom


@pytest.fixture(scope="module")
def dicom(draw):
    return draw("dicom")


def test_the_dicom_source_reads_back_labels_and_splits(dicom):
    scan, files = dicom.scan(), dicom.by_id
    assert scan.refusals == ()
    assert {record.image_id for record in scan.records} == set(files)
    for record in scan.records:
        visit = files[record.image_id].known_visit
        assert record.official_split == visit.split
        for finding, state in visit.states.items():
            expected = {state} if state != LabelState.NEGATIVE else {LabelState.NEGATIVE, LabelState.UNMENTIONED}
            assert record.states[finding] in expected
        assert all(record.states[box.finding] == "positive" for box in record.boxes)
    assert sum(len(record.boxes) for record in scan.records) > 50


def test_no_name_of_a_file_or_cell_of_the_table_tells_the_patient_id(dicom):
    ids = {file.dicom.patient for file in dicom.files}
    assert len(ids) == len({file.request.patient for file in dicom.files})
    text = (dicom.folder / "labels.csv").read_text() + " ".join(dicom.by_id)
    assert not any(one in text for one in ids)


def test_every_form_occurs_and_every_file_is_dicom(dicom):
    forms = Counter((file.dicom.is_monochrome1, file.dicom.compression) for file in dicom.files)
    assert len(forms) == 4
    for image_id in dicom.by_id:
        assert is_dicom((dicom.folder / image_id).read_bytes())


def test_the_table_holds_all_four_codes(dicom):
    with open(dicom.folder / "labels.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    codes = {cell for row in rows for name, cell in row.items() if name not in {"path", "split"}}
    assert codes == {"1", "0", "-1", ""}
    assert len(rows) == len(dicom.files)
