from __future__ import annotations

import csv
import dataclasses
import json
from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources import synthetic
from cxr_tasks.sources.base import resolve_root
from cxr_tasks.sources.synthetic import SOURCE, SyntheticOptions, fingerprint, plan_files, write_phantoms


def make_spec(**options):
    return DatasetSpec(
        name="tiny", source="synthetic", vocabulary="pneumonia", options={"n_images": 30, "size_px": 96, **options}
    )


def patient_of(file):
    return file.request.patient


def test_plan_has_the_images_asked_for_in_the_class_shares_of_the_original():
    files = plan_files(SyntheticOptions(n_images=2000))
    labels = Counter(file.image_id.split("/")[1] for file in files)
    assert len(files) == len({file.image_id for file in files}) == 2000
    assert labels["PNEUMONIA"] / labels["NORMAL"] == pytest.approx(2.7, rel=0.01)
    folders = Counter(file.image_id.split("/")[0] for file in files)
    assert folders["test"] / 2000 == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("n_images", [30, 31, 100])
def test_every_folder_holds_both_classes_however_few_images(n_images):
    files = plan_files(SyntheticOptions(n_images=n_images))
    places = {tuple(file.image_id.split("/")[:2]) for file in files}
    assert places == {(split, label) for split in ("train", "val", "test") for label in ("NORMAL", "PNEUMONIA")}


def test_a_patient_has_one_to_three_images_in_one_folder_and_one_class():
    places, counts = defaultdict(set), Counter()
    for file in plan_files(SyntheticOptions(n_images=1000)):
        places[patient_of(file)].add(tuple(file.image_id.split("/")[:2]))
        counts[patient_of(file)] += 1
    assert all(len(one) == 1 for one in places.values())
    assert set(counts.values()) == {1, 2, 3}


def test_form_and_size_do_not_depend_on_the_class():
    files = plan_files(SyntheticOptions(n_images=4000))
    is_ill = np.array([file.request.pneumonia is not None for file in files])
    for value in ([file.is_rgb for file in files], [file.quality for file in files]):
        values = np.array(value, dtype=float)
        # Means differ by less than four standard errors.
        error = values.std() * np.sqrt(1 / is_ill.sum() + 1 / (~is_ill).sum())
        assert abs(values[is_ill].mean() - values[~is_ill].mean()) < 4 * error


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


def test_same_options_give_the_same_files(tmp_path):
    options = SyntheticOptions(n_images=30, size_px=96, seed=4)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_phantoms(tmp_path / name, options)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 32  # and boxes.csv and synthetic.json
    assert all((tmp_path / "a" / one).read_bytes() == (tmp_path / "b" / one).read_bytes() for one in files)


def test_a_run_that_dies_while_drawing_leaves_no_folder(cxr_home, monkeypatch):
    def fail(work):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(synthetic, "_draw_files", fail)
    with pytest.raises(OSError, match="No space left"):
        resolve_root(make_spec(), None)
    assert list((cxr_home / "synthetic").iterdir()) == []


def test_fingerprint_tells_options_apart_and_is_in_the_settings_file(cxr_home):
    options = SyntheticOptions(n_images=30, size_px=96)
    assert fingerprint(options) == fingerprint(SyntheticOptions(n_images=30, size_px=96))
    assert fingerprint(options) != fingerprint(dataclasses.replace(options, seed=1))
    settings = json.loads((resolve_root(make_spec(), None) / "synthetic.json").read_text())
    assert settings["fingerprint"] == fingerprint(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_image": 100}, "'n_image' is not known; did you mean 'n_images'"),
        ({"n_images": 3}, "n_images: expected 30 to 1000000, found 3"),
        ({"size_px": 4000}, "size_px: expected 96 to 1024, found 4000"),
        ({"seed": "one"}, "seed: expected int, found str 'one'"),
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
        ("image_id,finding,x,y\n", "expected the columns image_id, finding, x, y, width, height"),
        ("image_id,finding,x,y,width,height\na.jpeg,pneumonia,1,2,three,4\n", "line 2: expected four numbers"),
        ("image_id,finding,x,y,width,height\na.jpeg,pneumonia,1,2\n", "line 2: expected four numbers"),
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
