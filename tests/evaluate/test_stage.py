from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
from cxr_tasks.datasets.content import content_of_splits
from cxr_tasks.evaluate.champion import evidence_of
from cxr_tasks.evaluate.stage import evaluate_model, flat_metrics, readable
from cxr_tasks.gate.stage import gate_candidate
from cxr_tasks.installation.storage.files import read_json, reference_to, verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.registry.audit import trail
from tests.evaluations import make_evaluation, make_record

pytestmark = [pytest.mark.tf, pytest.mark.mlflow]


@pytest.fixture(scope="module")
def paths(tiny):
    return RunPaths(tiny.home / "runs" / "train")


@pytest.fixture(scope="module")
def evaluated(tiny, paths):
    return evaluate_model(tiny.trained, tiny.prepared, tiny.recipe, paths)


def test_the_handoff_refers_to_whole_files(tiny, evaluated):
    assert EvaluatedModel.from_payload(json.loads(json.dumps(evaluated.to_payload()))) == evaluated
    table = pd.read_parquet(verified_path(evaluated.predictions))
    assert table["split"].value_counts().to_dict() == {"test": 60, "validation": 40}
    metrics = read_json(verified_path(evaluated.metrics))
    assert metrics["mean"]["test"][0]["value"] == evaluated.test_auroc
    assert evaluated.test_auroc_lower < evaluated.test_auroc < evaluated.test_auroc_upper
    assert 0.8 < evaluated.test_auroc < 1.0  # some patches are too faint to tell
    assert metrics["model"]["dataset_fingerprint"] == tiny.prepared.fingerprint
    assert metrics["model"]["model_sha256"] == tiny.trained.model.sha256


def test_the_baselines_stand_beside_it(evaluated):
    baselines = {one["name"]: one for one in read_json(verified_path(evaluated.metrics))["baselines"]}
    assert set(baselines) == {"ridge_32px", "aspect_ratio"}
    for one in baselines.values():
        validation, test = one["metrics"]
        assert (validation["split"], test["split"]) == ("validation", "test")
        assert test["lower"] < test["value"] < test["upper"]
        assert test["n"] == 60
    # Every second positive is wider and no negative is: half of the positives are told by their shape alone.
    assert baselines["aspect_ratio"]["metrics"][1]["value"] == pytest.approx(0.75, abs=0.05)


def test_mlflow_has_the_numbers_and_no_image_id(tiny, evaluated):
    from cxr_tasks.registry.tracking import client

    run = client().get_run(tiny.trained.mlflow_run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_auroc"] == pytest.approx(evaluated.test_auroc)
    assert run.data.metrics["test_auroc_lower"] == pytest.approx(evaluated.test_auroc_lower)
    assert {"test_sensitivity_served", "test_specificity_youden", "test_auroc_ridge_32px"} <= set(run.data.metrics)
    artifacts = {one.path for one in client().list_artifacts(tiny.trained.mlflow_run_id, "evaluation")}
    assert artifacts == {
        "evaluation/metrics.json",
        "evaluation/evaluated.json",
        "evaluation/predictions.parquet",
        "evaluation/typicality.json",
        "evaluation/classification_report_pneumonia.txt",
    }
    folder = Path(client().download_artifacts(tiny.trained.mlflow_run_id, "evaluation"))
    kept = pd.read_parquet(folder / "predictions.parquet")
    assert len(kept) == len(pd.read_parquet(verified_path(evaluated.predictions)))
    assert "person0" not in kept.to_csv() + "".join(
        one.read_text() for one in folder.iterdir() if one.suffix != ".parquet"
    )


def test_the_log_has_a_table_and_no_image_id(tiny, caplog, tmp_path):
    with caplog.at_level(logging.INFO, logger="cxr_tasks"):
        evaluate_model(tiny.trained, tiny.prepared, tiny.recipe, RunPaths(tmp_path))
    assert "target_sensitivity (served)" in caplog.text
    assert "auroc of ridge_32px" in caplog.text
    assert "person0" not in caplog.text


def test_the_same_model_and_data_give_the_same_files(tiny, evaluated, tmp_path):
    again = evaluate_model(tiny.trained, tiny.prepared, tiny.recipe, RunPaths(tmp_path))
    assert again.predictions.sha256 == evaluated.predictions.sha256
    assert again.metrics.sha256 == evaluated.metrics.sha256


def test_each_look_at_the_test_split_is_on_record_and_counted(tiny, evaluated, tmp_path):
    first = read_json(verified_path(evaluated.metrics))
    assert first["test_use"]["n_images"] == 60
    assert [one["name"] for one in first["remarks"]] == ["test_reuse"]
    other = tmp_path / "other.keras"
    other.write_bytes(Path(tiny.trained.model.uri).read_bytes() + b"other weights")
    trained = dataclasses.replace(
        tiny.trained, model=reference_to(other), stopped_by="20 minutes have passed", was_ended_by_clock=True,
        epochs_asked=40,
    )  # fmt: skip
    again = evaluate_model(trained, tiny.prepared, tiny.recipe, RunPaths(tmp_path), who="dr.weber")
    second = read_json(verified_path(again.metrics))
    clock, reuse = second["remarks"]
    assert clock["name"] == "clock" and "after epoch 1 of 40 (20 minutes have passed)" in clock["sentence"]
    number = second["test_use"]["number"]  # other tests measure models on these images too
    assert number > first["test_use"]["number"] >= 1
    assert f"Model number {number} measured on these 60 test images" in reuse["sentence"]
    assert f"With Bonferroni's correction for {number} its lower end is" in reuse["sentence"]
    (line,) = [one for one in trail.entries() if one.kind == "test_read" and one.who == "dr.weber"]
    assert line.fingerprint == tiny.prepared.fingerprint
    assert line.detail["test_sha256"] == first["test_use"]["test_sha256"]


def test_a_model_of_another_dataset_is_refused(tiny, tmp_path):
    other = dataclasses.replace(tiny.trained, dataset_fingerprint="0" * 64)
    with pytest.raises(DataDefect, match="may have been in its training split"):
        evaluate_model(other, tiny.prepared, tiny.recipe, RunPaths(tmp_path))


def test_the_gate_reads_what_evaluation_wrote(tiny, evaluated, paths):
    recipe = tiny.recipe.with_overrides(gate_floor=0.6)
    others = content_of_splits(tiny.prepared, ["train", "validation"])
    champion = evidence_of(1, Path(tiny.trained.model.uri), recipe.pixels, tiny.prepared, recipe, paths, others)
    decision = gate_candidate(evaluated, recipe, champion, paths)
    found = read_json(verified_path(decision.decision))["rules"]
    # All rules read their numbers; what a model made by hand and 60 images show is another matter.
    assert "evidence" not in [one["name"] for one in found if one["outcome"] == "FAIL"], decision.reasons
    assert not [one for one in decision.reasons if "is not known" in one]
    rules = {one["name"]: one for one in found}
    assert (rules["champion"]["value"], rules["champion"]["outcome"]) == (0.0, "PASS")


def test_flat_names_carry_the_finding_only_where_there_are_several():
    auroc = make_record("auroc", 0.8, 0.7)
    auroc["upper"] = None
    found = {"hernia": {"metrics": {"test": [auroc]}}}
    mean = {"test": [{**auroc, "value": 0.9}]}
    assert flat_metrics(make_evaluation(found, mean=mean)) == {"test_auroc": 0.8, "test_auroc_lower": 0.7}
    assert flat_metrics(make_evaluation({**found, "mass": {"metrics": {"test": []}}}, mean=mean)) == {
        "test_auroc": 0.9,
        "test_auroc_lower": 0.7,
        "test_auroc_hernia": 0.8,
        "test_auroc_hernia_lower": 0.7,
    }


def test_a_number_that_is_missing_is_shown_with_its_reason():
    record = make_record("auroc", None, reason="not assessable: 3 positives", n=3)
    text = readable(make_evaluation({"f": {"metrics": {"test": [record]}}}))
    assert "not assessable: 3 positives" in text
    assert "nan" not in text.lower()
