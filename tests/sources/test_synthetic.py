from __future__ import annotations

import csv
import dataclasses
import json
import logging
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.labels import LabelState, findings_of
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources import phantoms, synthetic
from cxr_tasks.sources.base import resolve_root
from cxr_tasks.sources.phantoms import writing
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions
from cxr_tasks.sources.synthetic import SOURCE, fingerprint, write_phantoms


def make_spec(vocabulary="pneumonia", **options):
    return DatasetSpec(
        name="tiny", source="synthetic", vocabulary=vocabulary, options={"n_images": 30, "size_px": 96, **options}
    )


def test_files_are_written_once_read_back_with_boxes_and_patients(cxr_home):
    spec = make_spec()
    root = resolve_root(spec, None)
    assert root.parent == cxr_home / "synthetic"
    scan = SOURCE.scan(root, spec)
    assert len(scan.records) == 30
    assert scan.refusals == ()
    assert scan.notes == ()
    for record in scan.records:
        with Image.open(root / record.image_id) as picture:
            picture.load()
            assert picture.format == "JPEG"
            for box in record.boxes:
                assert record.states["pneumonia"] == "positive"
                assert box.x + box.width <= picture.width
                assert box.y + box.height <= picture.height
    assert sum(bool(record.boxes) for record in scan.records) >= 20
    written = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert resolve_root(spec, None) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == written


def test_another_seed_is_another_folder(cxr_home):
    assert resolve_root(make_spec(seed=1), None) != resolve_root(make_spec(seed=2), None)


@pytest.mark.parametrize(
    ("layout", "n_tables"),
    [
        ("kermany", 0),
        ("nih", 4),  # labels, boxes and two lists
        ("chexpert", 2),
        ("dicom", 1),
    ],
)
def test_same_options_give_the_same_files(tmp_path, layout, n_tables):
    options = SyntheticOptions(n_images=30, size_px=96, seed=4, layout=layout, faults={"tiny": 1, "near_duplicate": 1})
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_phantoms(tmp_path / name, options)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 30 + n_tables + 3  # boxes.csv, planted.json and synthetic.json
    assert all((tmp_path / "a" / one).read_bytes() == (tmp_path / "b" / one).read_bytes() for one in files)


def test_a_run_that_dies_while_drawing_leaves_no_folder(cxr_home, monkeypatch):
    def fail(work):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "draw_files", fail)
    with pytest.raises(OSError, match="No space left"):
        resolve_root(make_spec(), None)
    assert list((cxr_home / "synthetic").iterdir()) == []


def test_fingerprint_tells_options_apart_and_is_in_the_settings_file(cxr_home):
    options = SyntheticOptions(n_images=30, size_px=96)
    assert fingerprint(options) == fingerprint(SyntheticOptions(n_images=30, size_px=96))
    for change in ({"seed": 1}, {"layout": "nih"}, {"variants": ("unsplit",)}, {"faults": {"tiny": 1}}):
        assert fingerprint(options) != fingerprint(dataclasses.replace(options, **change))
    # How files are read changes none of them.
    assert fingerprint(options) == fingerprint(dataclasses.replace(options, layout_options={"absent_bound": 0.2}))
    settings = json.loads((resolve_root(make_spec(), None) / "synthetic.json").read_text())
    assert settings["fingerprint"] == fingerprint(options)


@pytest.fixture
def drawing_copy(tmp_path, monkeypatch):
    """A copy of the code that draws, to be changed."""
    copy = shutil.copytree(Path(phantoms.__file__).parent, tmp_path / "phantoms")
    monkeypatch.setattr(phantoms, "__file__", str(copy / "__init__.py"))
    yield copy
    synthetic.drawing_code.cache_clear()


def fingerprint_anew():
    synthetic.drawing_code.cache_clear()
    return fingerprint(SyntheticOptions())


def test_what_was_drawn_before_the_folders_were_laid_out_anew_is_known_still():
    # Where the code that draws was changed so that the pictures stay, put its drawing_code() into _WHILE; where others
    # are drawn, remove _KNOWN_AS and _WHILE.
    assert fingerprint(SyntheticOptions()) == "2662f1568cd0259b684fdb11b0a700022cf2606f20adcab97b32a829b750482c"


def test_code_that_is_moved_or_explained_draws_the_same(drawing_copy):
    before = fingerprint_anew()
    (drawing_copy / "elsewhere").mkdir()
    (drawing_copy / "drawing" / "noise.py").rename(drawing_copy / "elsewhere" / "grain.py")
    places = drawing_copy / "drawing" / "places.py"
    places.write_text('"""Other words."""\n\n# more of them\nimport os\n' + places.read_text(), encoding="utf-8")
    assert fingerprint_anew() == before


def test_code_that_does_something_else_draws_something_else(drawing_copy):
    before = fingerprint_anew()
    with open(drawing_copy / "drawing" / "noise.py", "a", encoding="utf-8") as noise:
        noise.write("LEVEL = 3\n")
    assert fingerprint_anew() != before


def test_images_are_drawn_anew_with_a_word_where_the_code_has_changed(cxr_home, drawing_copy, caplog):
    caplog.set_level(logging.INFO)
    synthetic.drawing_code.cache_clear()
    former = resolve_root(make_spec(), None)
    assert "drawn anew" not in caplog.text
    resolve_root(make_spec(seed=1), None)
    assert "drawn anew" not in caplog.text
    with open(drawing_copy / "drawing" / "noise.py", "a", encoding="utf-8") as noise:
        noise.write("LEVEL = 3\n")
    synthetic.drawing_code.cache_clear()
    (cxr_home / "synthetic" / "broken").mkdir()
    (cxr_home / "synthetic" / "broken" / "synthetic.json").write_text("{")
    root = resolve_root(make_spec(), None)
    assert root != former
    assert f"drawn anew in {root}; what it drew before is not used any more: {former}" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_image": 100}, "'n_image' is not known; did you mean 'n_images'"),
        ({"n_images": 3}, "n_images: expected 30 to 1000000, found 3"),
        ({"size_px": 4000}, "size_px: expected 96 to 1024, found 4000"),
        ({"seed": "one"}, "seed: expected int, found str 'one'"),
        ({"variants": ["unsplitt"]}, "variants: 'unsplitt' is not one of layout 'kermany'; did you mean 'unsplit'"),
        ({"layout": "nhi"}, "'nhi' is not known; did you mean 'nih'"),
        ({"faults": {"trunkated": 1}}, "faults: 'trunkated' is not known; did you mean 'truncated'"),
        ({"n_images": 30, "faults": {"tiny": 40}}, "faults: 40 more untouched images of train are needed"),
    ],
)
def test_options_that_are_not_right_are_named(cxr_home, options, message):
    spec = dataclasses.replace(make_spec(), options=options)
    with pytest.raises(ConfigurationError, match=message):
        resolve_root(spec, None)


def test_boxes_of_images_that_are_not_there_are_a_defect(cxr_home):
    spec = make_spec()
    root = resolve_root(spec, None)
    with open(root / "boxes.csv", "a", newline="") as stream:
        csv.writer(stream).writerow(["train/PNEUMONIA/person9999_virus_1.jpeg", "pneumonia", 1, 2, 3, 4])
    with pytest.raises(DataDefect, match="1 images are not in the folders"):
        SOURCE.scan(root, spec)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image_id,finding,x,y\n", "line 1: expected a column 'width'"),
        (
            "image_id,finding,x,y,width,height\na.jpeg,pneumonia,1,2,three,4\n",
            "line 2: width: expected a number .*, found 'three'",
        ),
        ("image_id,finding,x,y,width,height\na.jpeg,pneumonia,1,2\n", "line 2"),
    ],
)
def test_a_broken_box_table_is_named_with_its_line(cxr_home, content, message):
    spec = make_spec()
    root = resolve_root(spec, None)
    (root / "boxes.csv").write_text(content)
    with pytest.raises(DataDefect, match=message):
        SOURCE.scan(root, spec)


def test_a_folder_without_boxes_is_a_defect(cxr_home):
    spec = make_spec()
    root = resolve_root(spec, None)
    (root / "boxes.csv").unlink()
    with pytest.raises(DataDefect, match="expected the boxes of the phantoms, found no file"):
        SOURCE.scan(root, spec)


@pytest.mark.parametrize(
    ("layout", "vocabulary"),
    [
        ("nih", "nih14"),
        ("nih", "shared7"),
        ("nih", "pneumonia"),
        ("chexpert", "chexpert14"),
        ("chexpert", "shared7"),
        ("dicom", "nih14"),
        ("dicom", "shared7"),
    ],
)
def test_each_layout_is_read_for_each_vocabulary_that_it_can_fill(cxr_home, layout, vocabulary):
    spec = make_spec(vocabulary, layout=layout)
    scan = SOURCE.scan(resolve_root(spec, None), spec)
    assert 20 < len(scan.records) <= 30
    # CheXpert has views from the side too.
    assert {one.reason for one in scan.refusals} <= ({"lateral_view"} if layout == "chexpert" else set())
    for finding in findings_of(vocabulary):
        assert {record.states[finding] for record in scan.records} >= {LabelState.POSITIVE}
    boxed = {box.finding for record in scan.records for box in record.boxes}
    assert boxed
    assert boxed <= set(findings_of(vocabulary))


@pytest.mark.parametrize(
    ("layout", "vocabulary", "message"),
    [
        ("kermany", "nih14", "expected vocabulary 'pneumonia'"),
        ("nih", "chexpert14", "does not label"),
        ("chexpert", "nih14", "hernia"),
    ],
)
def test_a_vocabulary_that_a_layout_cannot_fill_is_refused(cxr_home, layout, vocabulary, message):
    spec = make_spec(vocabulary, layout=layout)
    with pytest.raises(ConfigurationError, match=message):
        SOURCE.scan(resolve_root(spec, None), spec)


def test_options_of_the_layouts_source_are_handed_on(cxr_home):
    spec = make_spec("chexpert14", layout="chexpert", n_images=60)
    root = resolve_root(spec, None)
    both = dataclasses.replace(spec, options={**spec.options, "layout_options": {"frontal_only": False}})
    assert resolve_root(both, None) == root
    assert len(SOURCE.scan(root, both).records) == 60 > len(SOURCE.scan(root, spec).records)
    wrong = dataclasses.replace(spec, options={**spec.options, "layout_options": {"frontal": True}})
    with pytest.raises(ConfigurationError, match="'frontal' is not known"):
        SOURCE.scan(root, wrong)


def test_a_folder_of_another_layout_is_named(cxr_home):
    root = resolve_root(make_spec(), None)
    with pytest.raises(DataDefect, match="expected phantoms in layout 'nih', in a folder 'CXR8'; found none"):
        SOURCE.scan(root, make_spec("nih14", layout="nih"))


def test_a_broken_set_has_no_boxes_of_what_is_no_more(cxr_home):
    spec = make_spec(n_images=60, faults={"blank": 3, "zero_bytes": 2, "patient_across_splits": 1})
    root = resolve_root(spec, None)
    planted = json.loads((root / "planted.json").read_text())
    assert [row["fault"] for row in planted] == ["zero_bytes"] * 2 + ["blank"] * 3 + ["patient_across_splits"]
    boxed = {record.image_id for record in SOURCE.scan(root, spec).records if record.boxes}
    assert boxed
    assert not boxed & {row["image_id"] for row in planted}
