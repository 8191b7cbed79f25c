from __future__ import annotations

import csv

import pytest
from PIL import Image

from cxr_tasks.contracts.labels import NIH_SPELLINGS
from cxr_tasks.sources.phantoms.layouts.files import draw_files
from cxr_tasks.sources.phantoms.layouts.layout_nih import BOX_FRAME_PX


@pytest.fixture(scope="module")
def nih(draw):
    return draw("nih")


def test_the_nih_source_reads_back_every_label_patient_and_split(nih):
    scan, files = nih.scan(), nih.by_id
    assert scan.refusals == ()
    assert {record.image_id for record in scan.records} == set(files)
    for record in scan.records:
        visit = files[record.image_id].known_visit
        assert record.states == visit.states
        assert record.patient_id == f"{visit.patient:08d}"
        assert record.official_split == visit.split
        assert (record.sex, record.view, record.age_years) == (visit.sex, visit.view, visit.age_years)


def test_boxes_are_read_back_where_the_signs_were_drawn(nih, tmp_path):
    files = nih.by_id
    (tmp_path / "images").mkdir()
    n_boxes = 0
    for record in nih.scan().records[:30]:
        drawn = draw_files([(str(tmp_path), files[record.image_id])])[0]
        assert len(record.boxes) == len(drawn.boxes)
        for box, was in zip(record.boxes, drawn.boxes, strict=True):
            scale = BOX_FRAME_PX / drawn.width
            assert box.finding == was.finding
            assert record.states[box.finding] == "positive"
            assert box.x == pytest.approx(was.x * scale, abs=1e-4)
            assert box.y == pytest.approx(was.y * scale, abs=1e-4)
            assert box.width == pytest.approx(was.width * scale, abs=1e-4)
            assert box.height == pytest.approx(was.height * scale, abs=1e-4)
            n_boxes += 1
        assert record.box_frame == ((BOX_FRAME_PX, BOX_FRAME_PX) if record.boxes else None)
    assert n_boxes > 20


def test_tables_have_the_published_headers_and_spellings(nih):
    entries = (nih.folder / "Data_Entry_2017.csv").read_text().splitlines()
    boxes = (nih.folder / "BBox_List_2017.csv").read_text().splitlines()
    assert entries[0].endswith("OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]")
    assert boxes[0] == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    labels = {label for row in csv.reader(entries[1:]) for label in row[1].split("|")}
    assert labels == {*NIH_SPELLINGS, "No Finding"}
    assert "Infiltrate" in {row[1] for row in csv.reader(boxes[1:])}  # a spelling of this table alone


def test_images_are_square_pngs_of_the_size_asked_for(nih):
    for image_id in list(nih.by_id)[:10]:
        with Image.open(nih.folder / image_id) as picture:
            assert picture.format == "PNG"
            assert picture.size == (96, 96)
            assert picture.mode in {"L", "RGBA"}
