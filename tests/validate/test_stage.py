from __future__ import annotations

import logging

import pytest

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.labels import findings_of, label_column
from cxr_tasks.installation.storage.files import read_json, verified_path, write_json
from cxr_tasks.installation.storage.paths import datasets_root
from cxr_tasks.validate import validate_manifest
from tests.validate.manifests import NIH, RECIPE, failed_of, ingested, make_manifest, make_multilabel

pytestmark = pytest.mark.gx


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
