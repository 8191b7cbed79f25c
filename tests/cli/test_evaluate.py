"""What ``cxr evaluate`` tells of metrics; the command as a whole is run in ``tests/evaluate/test_cross.py``."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from cxr_tasks.cli.evaluate import print_evaluation
from cxr_tasks.cli.main import main
from cxr_tasks.contracts.records import target_column
from cxr_tasks.contracts.serving_contract import FindingDecision
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.evaluate.elsewhere.outcome import outcome_of
from cxr_tasks.evaluate.elsewhere.side_by_side import dataset_rows
from tests.evaluate.conftest import build_predictions

SHARED = ("edema", "pneumonia")


@pytest.fixture(scope="module")
def outcome():
    """Of two shared findings one is too rare on test, and some labels of the other are not known."""
    table = build_predictions(findings=SHARED, n_test=200)
    is_test = table["split"] == "test"
    table.loc[is_test, target_column("edema")] = 0.0
    table.loc[table.index[is_test][:3], target_column("edema")] = 1.0
    table.loc[table.index[is_test][:20], target_column("pneumonia")] = float("nan")
    own = {one: FindingDecision(finding=one, a=1.0, b=-1.0, threshold=0.5) for one in SHARED}
    spec = EvaluateSpec(bootstrap_samples=100)
    metrics = assess(table, SHARED, spec, own=own)
    at_home = assess(build_predictions(findings=SHARED, separation=3.5, seed=2), SHARED, spec)
    rows = dataset_rows(at_home, "nih", metrics, "chexpert", "test")
    metrics = dataclasses.replace(metrics, datasets={"test": rows})
    told = outcome_of(metrics, "test", ("edema", "mass", "pneumonia"), ("pneumonia", "edema", "fracture"))
    facts = {"model": "cxr_multilabel", "version": 3, "trained_on": "nih", "dataset": "chexpert"}
    return {**facts, "fingerprint": "ab" * 32, **told, "metrics": "/var/metrics.json", "mlflow_run_id": "run"}


def test_each_shared_finding_has_n_and_interval(outcome):
    pneumonia, edema = outcome["findings"]["pneumonia"], outcome["findings"]["edema"]
    assert (outcome["n_images"], pneumonia["n"], pneumonia["n_unknown"]) == (200, 180, 20)
    assert pneumonia["auroc"]["lower"] < pneumonia["auroc"]["value"] < pneumonia["auroc"]["upper"]
    assert 0 < pneumonia["sensitivity"]["value"] <= 1
    # Three positives are no basis for a number, and the mean is that of the other.
    assert edema["auroc"]["value"] is None
    assert outcome["mean_auroc"]["value"] == pneumonia["auroc"]["value"]


def test_what_is_left_out_has_its_reason(outcome):
    assert outcome["left_out"] == {
        "mass": "Mass is not labelled in the dataset",
        "fracture": "Fracture is not known to the model",
    }


def test_the_table_tells_all_of_it(outcome):
    lines = printed(outcome)
    assert lines[0] == f"cxr_multilabel version 3, trained on nih, on chexpert {'ab' * 8}"
    assert lines[1].startswith("test split: 200 images of 100 patients; 95% intervals")
    edema = next(one for one in lines if one.startswith("Edema")).split()
    assert edema[:5] == ["Edema", "3", "of", "200", "-"]
    assert any(one.startswith("Edema: not assessable") for one in lines)
    assert "Pneumonia: 20 images whose label is not known are not counted" in lines
    assert "left out: Fracture is not known to the model" in lines


def printed(outcome):
    console = Console(width=160, record=True, file=io.StringIO())
    print_evaluation(console, outcome)
    return [one.strip() for one in console.export_text().splitlines()]


def test_both_datasets_stand_side_by_side_with_their_gap(outcome):
    lines = printed(outcome)
    start = lines.index("beside the test split of nih; gaps are chexpert less nih")
    edema, edema_home, edema_gap, pneumonia, _, gap = lines[start + 2 : start + 8]
    assert edema.split()[:5] == ["Edema", "chexpert", "3", "of", "200"]
    assert edema.endswith("fewer than 20 positives")
    assert edema_home.startswith("nih")
    assert edema_gap.split()[:2] == ["gap", "-"]
    assert pneumonia.startswith("Pneumonia  chexpert")
    here, _ = outcome["datasets"]["pneumonia"]
    for name in ("auroc", "sensitivity", "specificity"):
        value, lower, upper = here[f"{name}_gap"]
        assert f"{value:+.3f} ({lower:+.3f} to {upper:+.3f})" in gap


def test_numbers_that_are_not_kept_are_said(outcome):
    assert "Numbers on nih are not kept on the MLflow run: nothing to put beside." in printed(
        {**outcome, "datasets": {}}
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--on", "nowhere"], "dataset 'nowhere' is not known"),
        (["--on", "nowhere", "--split", "train"], "split: expected validation or test, found 'train'"),
    ],
)
def test_a_wrong_request_is_one_line(cxr_home, capsys, arguments, said):
    assert main(["evaluate", "cxr_multilabel", "1", *arguments]) == 1
    assert said in capsys.readouterr().err
