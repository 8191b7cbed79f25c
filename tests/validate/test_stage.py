from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.artifacts import ArtifactRef, read_json
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs import IngestedStudies
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.records import MANIFEST_COLUMNS
from cxr_tasks.validate import validate_manifest

pytestmark = pytest.mark.gx

RECIPE = load_recipe("kermany_cnn")


def make_manifest(n=120):
    """A manifest without fault: every patient one image, every fifth in test, both classes everywhere."""
    rng = np.random.default_rng(1)
    is_ill = np.arange(n) % 3 != 0
    split = np.array(["train", "train", "train", "validation", "test"])[np.arange(n) % 5]
    table = pd.DataFrame(
        {
            "image_id": [f"x/{number:03d}.jpeg" for number in range(n)],
            "patient_id": [f"p{number}" for number in range(n)],
            "study_id": [f"s{number}" for number in range(n)],
            "source": "kermany",
            "view": "unknown",
            "sex": "unknown",
            "age_years": np.nan,
            "official_split": np.where(split == "test", "test", "train"),
            "split": split,
            "sub_label": np.where(is_ill, "virus", ""),
            "boxes": "[]",
            "file_sha256": [f"{number:064x}" for number in range(n)],
            "pixel_sha256": [f"{number:064x}" for number in range(n)],
            "file_format": "JPEG",
            "mode": "L",
            "width_px": rng.integers(250, 400, n),
            "height_px": rng.integers(200, 300, n),
            "mean": rng.uniform(0.4, 0.6, n),
            "deviation": rng.uniform(0.15, 0.25, n),
            "label_pneumonia": np.where(is_ill, "positive", "negative"),
        }
    )
    return table[[*MANIFEST_COLUMNS, "label_pneumonia"]]


@pytest.fixture
def validate(tmp_path, cxr_home):
    """``validate(table)``: the stage on a manifest holding ``table``; the run's folder is ``validate.paths``."""
    paths = RunPaths.for_run("cxr_dataset_binary", "r1")

    def run(table):
        manifest = paths.stage("ingest") / "manifest.parquet"
        table.to_parquet(manifest, index=False)
        (paths.stage("ingest") / "quarantine.csv").write_text("")
        ingested = IngestedStudies(
            dataset="kermany",
            root=str(tmp_path),
            manifest=ArtifactRef.of(manifest),
            quarantine=ArtifactRef.of(paths.stage("ingest") / "quarantine.csv"),
            n_images=len(table),
            n_patients=len(table),
            n_quarantined=0,
        )
        return validate_manifest(ingested, RECIPE, paths)

    run.paths = paths
    return run


def changed(**columns):
    """The faultless manifest with some values replaced: column -> {row: value}."""
    table = make_manifest()
    for column, values in columns.items():
        for row, value in values.items():
            table.loc[row, column] = value
    return table


def test_a_faultless_manifest_passes_with_record_and_data_docs(validate):
    validated = validate(make_manifest())
    assert validated.n_warnings == 0
    record = read_json(validated.validation.verified_path())
    assert record["success"] is True
    assert len(record["outcomes"]) == validated.n_expectations > 50
    index = validate.paths.stage("validate") / "data_docs" / "index.html"
    assert validated.data_docs == str(index)
    assert "manifest_pneumonia" in index.read_text()
    assert list(index.parent.glob("validations/**/*.html"))


def failing_cases():
    return [
        (changed(image_id={1: "x/000.jpeg"}), "an image is listed once", "x/000.jpeg"),
        (changed(image_id={7: "../outside.jpeg"}), "image_id is a path below the data folder", "../outside.jpeg"),
        (changed(split={9: "holdout"}), "split holds known words only", "x/009.jpeg"),
        (changed(label_pneumonia={4: "maybe"}), "label_pneumonia holds known words only", "x/004.jpeg"),
        (changed(patient_id={4: "p0"}), "a patient is in one split only", "x/004.jpeg"),  # row 0 train, row 4 test
        (changed(pixel_sha256={3: f"{0:064x}"}), "equal pictures are in one split only", "x/003.jpeg"),
        (changed(width_px={5: 12}), "width is that of a chest X-ray", "x/005.jpeg"),
        (changed(deviation={6: 0.0}), "the picture shows something", "x/006.jpeg"),
        (changed(mean={6: 1.2}), "mean grey lies on its scale", "x/006.jpeg"),
        (changed(sub_label={0: "virus"}), "a finer label goes with a positive finding", "x/000.jpeg"),
        (changed(sub_label={1: "fungus"}), "sub_label holds known words only", "x/001.jpeg"),
        (changed(patient_id={2: None}), "patient_id is given for every image", "x/002.jpeg"),
        (
            changed(boxes={1: '[{"finding":"pneumonia","x":390,"y":0,"width":50,"height":9}]'}),
            "boxes lie in their pictures",
            "x/001.jpeg",
        ),
        (make_manifest().drop(columns="sex"), "every column of the manifest is there", "missing: sex"),
        (make_manifest().astype({"width_px": float}), "width_px has its type", "float64"),
        (make_manifest(15), "fewer than 20 images", "15"),
        (
            make_manifest().assign(label_pneumonia="positive", sub_label="virus"),
            "pneumonia is present and absent in every split",
            "missing: test:negative",
        ),
    ]


@pytest.mark.parametrize(("table", "about", "shown"), failing_cases())
def test_a_critical_fault_stops_the_run_and_shows_expectation_and_rows(validate, table, about, shown):
    with pytest.raises(DataDefect) as caught:
        validate(table)
    assert about in str(caught.value)
    assert shown in str(caught.value)
    assert "critical" in str(caught.value)
    record = read_json(validate.paths.stage("validate") / "validation.json")
    assert record["success"] is False
    assert any(about in one["about"] and not one["success"] for one in record["outcomes"])


def warning_cases():
    wide = make_manifest()
    wide.loc[wide["label_pneumonia"] == "positive", "width_px"] += 200
    twins = changed(pixel_sha256={1: f"{2:064x}"})  # both in train
    coloured = make_manifest()
    coloured.loc[coloured["label_pneumonia"] == "positive", "mode"] = "RGB"
    return [
        (wide, "aspect_ratio alone does not tell pneumonia"),
        (coloured, "mode alone does not tell pneumonia"),
        (twins, "the same picture is not listed under two names"),
        (changed(age_years={3: 414.0}), "ages are those of people"),  # occurs in NIH's first label file
        (changed(mean={3: 0.95}), "neither nearly black nor nearly white"),
    ]


@pytest.mark.parametrize(("table", "about"), warning_cases())
def test_a_warning_is_counted_and_logged_and_the_run_goes_on(validate, table, about, caplog):
    with caplog.at_level(logging.WARNING):
        validated = validate(table)
    assert validated.n_warnings >= 1
    assert about in caplog.text


def test_the_log_holds_our_lines_only(validate, caplog):
    with caplog.at_level(logging.DEBUG):
        validate(make_manifest())
    assert {record.name for record in caplog.records if record.name.startswith("great_expectations")} == set()


def test_a_manifest_changed_after_ingest_is_refused(validate):
    validated = validate(make_manifest())
    make_manifest(60).to_parquet(validated.manifest.uri)
    ingested = IngestedStudies(
        dataset="kermany",
        root=validated.root,
        manifest=validated.manifest,
        quarantine=validated.manifest,
        n_images=1,
        n_patients=1,
        n_quarantined=0,
    )
    with pytest.raises(DataDefect, match="changed after it was written"):
        validate_manifest(ingested, RECIPE, validate.paths)


def test_a_second_run_replaces_record_and_docs(validate):
    with pytest.raises(DataDefect):
        validate(changed(split={9: "holdout"}))
    validated = validate(make_manifest())
    assert read_json(validated.validation.verified_path())["success"] is True
    assert len(list((validate.paths.stage("validate") / "data_docs").glob("validations/**/*.html"))) == 1


@pytest.mark.data
def test_the_real_manifest_passes_and_its_shortcut_is_told(shared_data, cxr_home, caplog):
    from cxr_tasks.ingest.stage import ingest_source

    paths = RunPaths.for_run("cxr_dataset_binary", "real")
    ingested = ingest_source(RECIPE, str(shared_data / "kermany"), paths)
    with caplog.at_level(logging.WARNING):
        validated = validate_manifest(ingested, RECIPE, paths)
    record = read_json(validated.validation.verified_path())
    failed = {one["about"] for one in record["outcomes"] if not one["success"]}
    assert "aspect_ratio alone does not tell pneumonia: AUROC 0.65 at most" in failed
    assert "the same picture is not listed under two names" in failed
    assert record["n_failed"]["critical"] == 0
