from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
from cxr_tasks.contracts.labels import findings_of, label_column
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.records import PREDICTION_COLUMNS, logit_column, target_column
from cxr_tasks.installation.storage.files import read_json, reference_to, verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.validate.predictions import validate_predictions

pytestmark = pytest.mark.gx

BASE = load_recipe("synthetic_binary")
RECIPE = dataclasses.replace(BASE, dataset=dataclasses.replace(BASE.dataset, vocabulary="shared7"))
FINDINGS = findings_of("shared7")


def make_index(n=120):
    rng = np.random.default_rng(3)
    states = ["positive", "negative", "uncertain", "unmentioned"]
    return pd.DataFrame(
        {
            "image_id": [f"{number:03d}.png" for number in range(n)],
            "patient_key": [f"{number // 2:016x}" for number in range(n)],
            "split": np.repeat(["train", "validation", "test"], n // 3),
            "source": "made",
            "view": "pa",
            "sex": "female",
            "age_years": 40.0,
            **{label_column(finding): rng.choice(states, n, p=[0.3, 0.5, 0.1, 0.1]) for finding in FINDINGS},
        }
    )


def make_predictions(index):
    rows = index[index["split"] != "train"].reset_index(drop=True)
    table = rows[list(PREDICTION_COLUMNS)].copy()
    rng = np.random.default_rng(4)
    for finding in FINDINGS:
        table[target_column(finding)] = rows[label_column(finding)].map({"positive": 1.0, "negative": 0.0})
        table[logit_column(finding)] = rng.normal(size=len(rows))
    return table


@pytest.fixture
def check(tmp_path, cxr_home):
    """``check(predictions)``: the stage on them and the index of ``make_index()``."""
    paths = RunPaths.for_run("cxr_train_multilabel", "r1")

    def run(predictions):
        predictions.to_parquet(tmp_path / "predictions.parquet", index=False)
        make_index().to_parquet(tmp_path / "index.parquet", index=False)
        file = reference_to(tmp_path / "predictions.parquet")
        evaluated = EvaluatedModel(
            model_name="cxr_multilabel", mlflow_run_id="r", predictions=file, metrics=file, test_auroc=None,
            test_auroc_lower=None, test_auroc_upper=None,
        )  # fmt: skip
        prepared = PreparedDataset(
            dataset="made", folder=str(tmp_path), fingerprint="f" * 64,
            index=reference_to(tmp_path / "index.parquet"), vocabulary="shared7", size_px=16,
            n_train=40, n_validation=40, n_test=40,
        )  # fmt: skip
        return validate_predictions(evaluated, prepared, RECIPE, paths)

    run.folder = paths.stage("validate_predictions")
    return run


def test_whole_predictions_pass_with_record_and_data_docs(check):
    record = read_json(verified_path(check(make_predictions(make_index()))))
    assert record["success"] is True
    assert record["n_failed"] == {"critical": 0, "warning": 0}
    assert record["suites"] == ["predictions_shared7", "predictions_coverage"]
    assert record["n_predictions"] == 80
    assert (check.folder / "data_docs" / "index.html").is_file()


#: row of the predictions -> what is planted there, and the expectation that must tell it.
FAULTS = [
    (0, {"image_id": "nosuch.png"}, "every answer is about an image of the index, in the split it has there"),
    (3, {"split": "train"}, "answers are of validation and test only"),
    (5, {"split": "test"}, "every answer is about an image of the index, in the split it has there"),
    (7, {"patient_key": "0" * 16}, "every answer is about an image of the index, in the split it has there"),
    (9, {"logit_edema": float("nan")}, "every image has a logit of edema that is a number"),
    (11, {"logit_edema": float("inf")}, "logits of edema are finite"),
    (13, {"logit_edema": -float("inf")}, "logits of edema are finite"),
    (15, {"logit_edema": 900.0}, "logits of edema are of a usual size"),
    (17, {"target_edema": 0.5}, "targets of edema are 0, 1 or empty"),
    (79, {"image_id": "118.png"}, "an image is answered once"),  # the one before the last, again
]


def test_every_fault_is_told_by_its_expectation(check):
    table = make_predictions(make_index())
    table.loc[18, "target_edema"] = 1.0 - np.nan_to_num(table.loc[18, "target_edema"])
    table["logit_cardiomegaly"] = 0.25
    for row, planted, _ in FAULTS:
        for column, value in planted.items():
            table.loc[row, column] = value
    with pytest.raises(DataDefect) as caught:
        check(table)
    record = read_json(check.folder / "validation.json")
    failed = {one["about"]: one for one in record["outcomes"] if not one["success"]}
    for row, _, about in FAULTS:
        assert table.loc[row, "image_id"] in {one["image_id"] for one in failed[about]["offending_rows"]}
        assert about in str(caught.value)
    told_missing = failed["every validation and test image of the index is answered once"]["offending_rows"]
    assert {(one["image_id"], one["n_predictions"]) for one in told_missing} == {
        ("040.png", 0), ("119.png", 0), ("118.png", 2),
    }  # fmt: skip
    expected = {about for _, _, about in FAULTS} | {
        "targets say what the index says",  # rows 17 and 18, and where another image's id was given
        "every validation and test image of the index is answered once",
        "the answer for cardiomegaly is not the same for all images",
    }
    assert set(failed) - {"logits of edema are of a usual size"} == expected - {"logits of edema are of a usual size"}
    assert failed["logits of edema are of a usual size"]["severity"] == "warning"


def test_a_missing_column_stops_the_run(check):
    with pytest.raises(DataDefect, match="missing: logit_edema"):
        check(make_predictions(make_index()).drop(columns="logit_edema"))


def test_one_answer_for_all_images_is_a_warning(check, caplog):
    with caplog.at_level(logging.WARNING):
        check(make_predictions(make_index()).assign(logit_edema=0.5))
    assert "the answer for edema is not the same for all images" in caplog.text


def test_a_file_that_is_no_table_is_refused(check, tmp_path):
    good = make_predictions(make_index())
    check(good)
    file = tmp_path / "predictions.parquet"
    file.write_bytes(b"not a table")
    from cxr_tasks.validate.predictions import _read

    with pytest.raises(DataDefect, match=r"predictions.parquet: expected a Parquet file"):
        _read(file)
