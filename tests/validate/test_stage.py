from __future__ import annotations

import dataclasses
import json
import logging

import numpy as np
import pytest

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import IngestedStudies, PreparedDataset
from cxr_tasks.contracts.labels import findings_of, label_column
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.installation.storage.files import read_json, reference_to, verified_path, write_json
from cxr_tasks.installation.storage.paths import RunPaths, datasets_root
from cxr_tasks.validate import validate_manifest
from tests.builders import manifest_table

pytestmark = pytest.mark.gx

RECIPE = load_recipe("kermany_cnn")
NIH = dataclasses.replace(RECIPE, dataset=dataclasses.replace(RECIPE.dataset, name="nih14", vocabulary="nih14"))


def make_manifest(n=300, **columns):
    """A manifest without fault: every patient one image; of five rows one is validation and the last is test.

    Two of three rows are ill: row 0 is not, rows 1 and 2 are, and so on.
    """
    rng = np.random.default_rng(1)
    is_ill = np.arange(n) % 3 != 0
    split = np.array(["train", "train", "train", "validation", "test"])[np.arange(n) % 5]
    values = {
        "source": "kermany",
        "official_split": np.where(split == "test", "test", "train"),
        "split": split,
        "sub_label": np.where(is_ill, "virus", ""),
        "file_format": "JPEG",
        "width_px": rng.integers(250, 400, n),
        "height_px": rng.integers(200, 300, n),
        "mean": rng.uniform(0.4, 0.6, n),
        "deviation": rng.uniform(0.15, 0.25, n),
        "sharpness": rng.uniform(0.001, 0.003, n),
        "label_pneumonia": np.where(is_ill, "positive", "negative"),
    }
    return manifest_table(n, **values | columns)


def make_multilabel(n=300, **columns):
    rng = np.random.default_rng(2)
    labels = {label_column(one): rng.choice(["positive", "negative"], n, p=[0.2, 0.8]) for one in findings_of("nih14")}
    split = np.array(["train", "train", "train", "validation", "test"])[np.arange(n) % 5]
    return manifest_table(n, findings_of("nih14"), **{"split": split} | labels | columns)


@pytest.fixture
def run_folder(tmp_path, cxr_home):
    return RunPaths.for_run("cxr_dataset_binary", "r1")


def ingested(table, paths, dataset="kermany"):
    manifest = paths.stage("ingest") / "manifest.parquet"
    table.to_parquet(manifest, index=False)
    (paths.stage("ingest") / "quarantine.csv").write_text("")
    return IngestedStudies(
        dataset=dataset,
        root=str(paths.root),
        manifest=reference_to(manifest),
        quarantine=reference_to(paths.stage("ingest") / "quarantine.csv"),
        n_images=len(table),
        n_patients=len(table),
        n_quarantined=0,
    )


@pytest.fixture
def validate(run_folder):
    """``validate(table)``: the stage on a manifest holding ``table``; the run's folder is ``validate.paths``."""

    def run(table, recipe=RECIPE):
        return validate_manifest(ingested(table, run_folder, recipe.dataset.name), recipe, run_folder)

    run.paths = run_folder
    return run


def failed_of(paths):
    """Sentence -> outcome of every expectation not met, from ``validation.json``."""
    record = read_json(paths.stage("validate") / "validation.json")
    return {one["about"]: one for one in record["outcomes"] if not one["success"]}


def test_a_faultless_manifest_passes_with_record_profile_and_data_docs(validate):
    validated = validate(make_manifest())
    assert failed_of(validate.paths) == {}
    assert validated.n_warnings == 0
    record = read_json(verified_path(validated.validation))
    assert record["success"] is True
    assert record["suites"] == ["manifest_pneumonia", "manifest_findings_binary", "manifest_shortcuts"]
    assert len(record["outcomes"]) == validated.n_expectations > 50
    profile = read_json(verified_path(validated.profile))
    assert profile["counts"]["images"] == 300
    assert profile["drift"] == {"verdict": "first version", "against": None}
    index = validate.paths.stage("validate") / "data_docs" / "index.html"
    assert validated.data_docs == str(index)
    assert "manifest_pneumonia" in index.read_text()
    assert len(list(index.parent.glob("validations/**/*.html"))) == 3


def box(**changed):
    """The boxes of a row: one of pneumonia in the middle, with some of its values replaced."""
    return json.dumps([{"finding": "pneumonia", "x": 40, "y": 40, "width": 50, "height": 50} | changed])


NOT_NEAR_BLACK = "the picture is neither nearly black nor nearly white"
CONTRAST = "the picture has the contrast of an X-ray"
TWO_NAMES = "the same picture is not listed under two names"
BOXES = "boxes can be read, mark known findings and lie in their pictures"

#: What is planted, (row, column) -> value; the rows that must be told; the expectations that must tell them.
FAULTS = [
    # critical
    ({(1, "image_id"): "x/000.png"}, [0, 1], ["an image is listed once; its id is its file"]),
    ({(5, "image_id"): "../outside.png"}, [5], ["image_id is a path below the data folder"]),
    ({(10, "split"): "holdout"}, [10], ["split holds known words only"]),
    ({(12, "label_pneumonia"): "maybe"}, [12], ["label_pneumonia holds known words only"]),
    ({(15, "view"): "oblique"}, [15], ["view holds known words only"]),
    ({(16, "sex"): "f"}, [16], ["sex holds known words only"]),
    ({(20, "mode"): "CMYK"}, [20], ["mode holds known words only"]),
    ({(25, "file_format"): "GIF"}, [25], ["file_format holds known words only"]),
    ({(34, "patient_id"): "p035"}, [34, 35], ["a patient is in one split only"]),  # test, train
    ({(38, "pixel_hash"): f"{40:032x}"}, [38, 40], ["equal pictures are in one split only", TWO_NAMES]),
    (
        {(43, "duplicate_group"): "x/043.png", (44, "duplicate_group"): "x/043.png"},  # validation, test
        [43, 44],
        ["nearly equal pictures are in one split only"],
    ),
    ({(46, "perceptual_hash"): "ff"}, [46], ["perceptual_hash holds 256 bits in hex"]),
    ({(47, "file_sha256"): "Z" * 64}, [47], ["file_sha256 holds sha256 in hex"]),
    ({(48, "pixel_hash"): "0"}, [48], ["pixel_hash holds XXH3 in hex"]),
    ({(50, "width_px"): 63, (50, "height_px"): 100}, [50], ["width is that of a chest X-ray"]),
    ({(51, "width_px"): 100, (51, "height_px"): 63}, [51], ["height is that of a chest X-ray"]),
    ({(52, "bit_depth"): 0}, [52], ["a grey value has 1 to 16 bits"]),
    ({(53, "deviation"): 0.0}, [53], ["the picture shows something", CONTRAST]),
    ({(55, "mean"): 1.2}, [55], ["mean grey lies on its scale", NOT_NEAR_BLACK]),
    ({(56, "mean"): float("inf")}, [56], ["mean grey lies on its scale", NOT_NEAR_BLACK]),
    ({(57, "entropy"): 9.0}, [57], ["entropy lies on its scale"]),
    ({(58, "sharpness"): -1.0}, [58], ["sharpness is not negative"]),
    ({(59, "border_fraction"): -0.5}, [59], ["border_fraction is a share"]),
    ({(60, "sub_label"): "virus"}, [60], ["a finer label goes with a positive finding"]),
    ({(61, "sub_label"): "fungus"}, [61], ["sub_label holds known words only"]),
    ({(62, "patient_id"): None}, [62], ["patient_id is given for every image"]),
    ({(63, "patient_id"): ""}, [63], ["every image has a patient; splits go by patient"]),
    ({(64, "boxes"): box(x=390)}, [64], [BOXES]),
    ({(67, "boxes"): "[{"}, [67], [BOXES]),
    ({(70, "boxes"): box(finding="pneumonitis")}, [70], [BOXES]),
    # warnings
    ({(75, "pixel_hash"): f"{76:032x}"}, [75, 76], [TWO_NAMES, "equal pictures have equal labels"]),  # both in train
    (
        {(81, "patient_id"): "p080", (80, "sex"): "male", (81, "sex"): "female"},
        [80, 81],
        ["a patient has one sex in all images"],
    ),
    ({(85, "official_split"): "test"}, [85], ["images of the official test split are in test"]),
    ({(90, "boxes"): box()}, [90], ["a box goes with a positive finding"]),
    ({(91, "age_years"): 414.0}, [91], ["ages are those of people"]),  # occurs in NIH's first label file
    ({(92, "mean"): 0.95}, [92], [NOT_NEAR_BLACK]),
    ({(93, "deviation"): 0.03}, [93], [CONTRAST]),
    ({(94, "entropy"): 0.5}, [94], ["the picture has many grey values, as an X-ray has"]),
    ({(95, "border_fraction"): 0.7}, [95], ["uniform bands take 0.4 of the picture at most"]),
    ({(96, "width_px"): 390, (96, "height_px"): 70}, [96], ["width to height is that of a chest X-ray"]),
    ({(97, "flags"): "inverted_suspected"}, [97], ["no picture is flagged for a person to look at"]),
]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Every fault of ``FAULTS`` in one manifest: the table, what the stage raised, what it recorded and logged."""
    table = make_manifest()
    for planted, _, _ in FAULTS:
        for (row, column), value in planted.items():
            table.loc[row, column] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_HOME", str(tmp_path_factory.mktemp("var")))
        paths = RunPaths.for_run("cxr_dataset_binary", "faulty")
        with pytest.raises(DataDefect) as caught:
            validate_manifest(ingested(table, paths), RECIPE, paths)
        return table, str(caught.value), failed_of(paths)


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=lambda number: FAULTS[number][2][0])
def test_a_fault_is_told_by_its_expectation_with_its_rows(faulty, number):
    table, told, failed = faulty
    _, rows, sentences = FAULTS[number]
    for about in sentences:
        planted = {row for _, its_rows, its_sentences in FAULTS if about in its_sentences for row in its_rows}
        found = failed[about]
        assert {row["image_id"] for row in found["offending_rows"]} == set(table.loc[sorted(planted), "image_id"])
        assert found["n_unexpected"] == len(planted)
        assert about in told
        assert all(table.loc[row, "image_id"] in told for row in rows)


def test_nothing_is_told_that_is_no_fault(faulty):
    _, told, failed = faulty
    assert set(failed) == {about for _, _, sentences in FAULTS for about in sentences}
    n_critical = sum(one["severity"] == "critical" for one in failed.values())
    assert f"(critical {n_critical}, warnings {len(failed) - n_critical})" in told


def test_a_critical_failure_is_recorded_and_its_severity_kept(faulty):
    _, _, failed = faulty
    severities = {about: one["severity"] for about, one in failed.items()}
    assert severities["a patient is in one split only"] == "critical"
    assert severities["nearly equal pictures are in one split only"] == "critical"
    assert severities["ages are those of people"] == "warning"


@pytest.mark.parametrize(
    ("table", "about", "shown"),
    [
        (make_manifest().drop(columns="sex"), "every column of the manifest is there", "missing: sex"),
        (
            make_manifest(mean=7.0).drop(columns="image_id"),
            "every column of the manifest is there",
            "missing: image_id",
        ),
        (make_manifest().drop(columns="patient_id"), "every column of the manifest is there", "missing: patient_id"),
        (make_manifest().astype({"width_px": float}), "width_px has its type", "float64"),
        (make_manifest().astype({"mean": str}), "mean has its type", "str"),
        (make_manifest(15), "fewer than 20 images", "15"),
        (
            make_manifest(label_pneumonia="positive", sub_label="virus"),
            "the finding is present and absent in every split",
            "train: absent, validation: absent, test: absent",
        ),
    ],
)
def test_a_table_of_the_wrong_form_stops_the_run(validate, table, about, shown):
    with pytest.raises(DataDefect) as caught:
        validate(table)
    assert about in str(caught.value)
    assert shown in str(caught.value)


def test_a_warning_is_counted_and_logged_with_its_numbers_and_the_run_goes_on(validate, caplog):
    table = make_manifest()
    wide = table.assign(width_px=table["width_px"] + 200 * (table["label_pneumonia"] == "positive"))
    with caplog.at_level(logging.WARNING):
        validated = validate(wide)
    assert validated.n_warnings == 1
    (failed,) = failed_of(validate.paths).values()
    assert {row["property"] for row in failed["offending_rows"]} == {"size", "aspect_ratio"}
    assert all(row["bits"] > 0.2 and row["share"] > 0.2 for row in failed["offending_rows"])
    assert "no property of the file tells more than 0.05 of a label" in caplog.text
    assert "aspect_ratio" in caplog.text


def test_a_rare_finding_that_a_split_lacks_is_a_warning_among_many(validate):
    table = make_multilabel()
    table.loc[table["split"] == "test", "label_hernia"] = "negative"
    validated = validate(table, NIH)
    failed = failed_of(validate.paths)
    assert validated.n_warnings == len(failed)
    told = failed["each finding is present and absent in every split"]
    assert [(row["finding"], row["missing"]) for row in told["offending_rows"]] == [("hernia", "test: present")]


def test_many_findings_of_which_none_can_be_judged_stop_the_run(validate):
    table = make_multilabel()
    for finding in findings_of("nih14"):
        table.loc[table["split"] == "test", label_column(finding)] = "negative"
    with pytest.raises(DataDefect, match="some finding is present and absent in every split"):
        validate(table, NIH)


@pytest.fixture
def published(cxr_home):
    """``published(profile)``: a prepared version of ``kermany`` with that reference profile is the newest one."""

    def publish(profile):
        folder = datasets_root() / "kermany" / ("a" * 16)
        write_json(folder / "reference_profile.json", profile)
        reference = ArtifactRef(uri=str(folder / "index.parquet"), sha256="b" * 64)
        prepared = PreparedDataset(
            dataset="kermany", folder=str(folder), fingerprint="a" * 64, index=reference, vocabulary="pneumonia",
            size_px=64, n_train=1, n_validation=1, n_test=1,
        )  # fmt: skip
        write_json(folder.parent / "latest.json", prepared.to_payload())

    return publish


def test_the_next_version_is_held_against_the_last_one(validate, published, caplog):
    published(read_json(verified_path(validate(make_manifest()).profile)))
    again = validate(make_manifest())
    assert again.n_warnings == 0
    assert read_json(verified_path(again.profile))["drift"] == {"verdict": "none", "against": "a" * 64}

    fewer = make_manifest(200)
    darker = fewer.assign(mean=fewer["mean"] - 0.25, label_pneumonia="positive", sub_label="virus")
    darker.loc[::9, ["label_pneumonia", "sub_label"]] = ["negative", ""]
    with caplog.at_level(logging.WARNING):
        changed = validate(darker)
    drift = read_json(verified_path(changed.profile))["drift"]
    assert drift == {"verdict": "strong", "against": "a" * 64}
    failed = failed_of(validate.paths)
    moved = failed["no distribution is another one: PSI 0.25 at most"]["offending_rows"]
    assert {row["property"] for row in moved} == {"mean"}
    (lost,) = (one for about, one in failed.items() if "as many images and patients" in about)
    assert [(row["count_of"], row["before"], row["now"]) for row in lost["offending_rows"]][:2] == [
        ("images", 300, 200),
        ("patients", 300, 200),
    ]
    assert "PSI 0.25" in caplog.text


def test_a_profile_that_is_none_is_refused_with_what_to_do(validate, published):
    published({"format": 99})
    with pytest.raises(DataDefect, match=r"reference_profile.json: expected a reference profile of format 1, found 99"):
        validate(make_manifest())


def test_the_log_holds_our_lines_only(validate, caplog):
    with caplog.at_level(logging.DEBUG):
        validate(make_manifest(60))
    assert {record.name for record in caplog.records if record.name.startswith("great_expectations")} == set()


def test_a_manifest_changed_after_ingest_is_refused(run_folder):
    given = ingested(make_manifest(), run_folder)
    make_manifest(60).to_parquet(given.manifest.uri)
    with pytest.raises(DataDefect, match="changed after it was written"):
        validate_manifest(given, RECIPE, run_folder)


def test_a_second_run_replaces_record_and_docs(validate):
    with pytest.raises(DataDefect):
        validate(make_manifest(split="holdout"))
    validated = validate(make_manifest())
    assert read_json(verified_path(validated.validation))["success"] is True
    assert len(list((validate.paths.stage("validate") / "data_docs").glob("validations/**/*.html"))) == 3
