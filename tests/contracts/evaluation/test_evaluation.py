"""``metrics.json`` of this and of former formats, made by the code of their time (numbers rounded, parts left out)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import DataDefect, UndefinedMetric
from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.metrics import Bounds, record_of
from tests.evaluations import make_evaluation, make_point, make_record

FORMATS = Path(__file__).with_name("formats")
TODAYS = ("format_3", "format_3_of_two_findings")


def content_of(name):
    return json.loads((FORMATS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", TODAYS)
def test_what_is_read_is_written_as_it_was(name):
    content = content_of(name)
    assert json.dumps(Evaluation.from_json(content).to_json()) == json.dumps(content)


@pytest.mark.parametrize("path", sorted(FORMATS.glob("*.json")), ids=lambda path: path.stem)
def test_a_file_of_each_format_is_read(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    evaluation = Evaluation.from_json(content, path.name)
    for finding in evaluation.findings:
        stored, measured = content["by_finding"][finding], evaluation.by_finding[finding]
        auroc = record_of(measured.metrics["test"], "auroc")
        assert auroc.value == next(one["value"] for one in stored["metrics"]["test"] if one["name"] == "auroc")
        assert evaluation.serving[finding].threshold == measured.served_point.threshold
        assert [row.sensitivity for row in measured.subgroups] == [
            None if row["sensitivity"] is None else Bounds(*row["sensitivity"]) for row in stored["subgroups"]
        ]


@pytest.mark.parametrize("name", ["format_1", "format_2", "format_3_counting_images"])
def test_what_a_former_format_lacks_is_none_and_no_number(name):
    evaluation = Evaluation.from_json(content_of(name))
    measured = evaluation.by_finding[evaluation.findings[0]]
    assert measured.counts["test"].by_class is None
    assert record_of(measured.metrics["test"], "auroc").n_patients is None
    assert {len(row.compared) for row in measured.subgroups} == {0}
    names = {record.name for record in measured.metrics["test"]}
    assert ("calibration_slope" in names) == name.startswith("format_3")
    assert (measured.raw_half == {}) == (name == "format_1")


def test_what_a_later_version_of_the_platform_adds_is_left_aside():
    content = content_of("format_3")
    content["by_finding"]["pneumonia"]["texture"] = {"lower": 0.1}
    content["new"] = 1
    assert Evaluation.from_json(content) == Evaluation.from_json(content_of("format_3"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.update(format=4), "m.json: expected format 3 or an earlier one, found 4"),
        (lambda m: m.pop("confidence"), "m.json: 'confidence' is missing; evaluate the model again"),
        (lambda m: m.update(findings="pneumonia"), "m.json.findings: expected a list, found 'pneumonia'"),
        (lambda m: m["mean"]["test"][0].update(lower="0.9"), "mean.test[0].lower: expected float, found str '0.9'"),
        (lambda m: m["mean"]["test"][0].update(value=None), "a value or a reason is expected"),
        (lambda m: m["mean"]["test"][0].update(value=float("nan")), "mean.test[0].value: expected a finite number"),
        (lambda m: m.update(confidence=10**400), "m.json.confidence: expected a number, found one of 1329 bits"),
        (lambda m: m["findings"].append("mass"), "m.json: expected each of the findings pneumonia, mass in by_finding"),
        (
            lambda m: m["by_finding"]["pneumonia"]["subgroups"][0].update(sensitivity=[0.5, 0.4]),
            "subgroups[0].sensitivity: expected a list of value, lower, upper, found [0.5, 0.4]",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_its_place(change, said):
    content = content_of("format_3")
    change(content)
    with pytest.raises(DataDefect) as raised:
        Evaluation.from_json(content, "m.json")
    assert said in str(raised.value)


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_what_is_no_object_is_no_evaluation(content):
    with pytest.raises(DataDefect, match="expected a mapping"):
        Evaluation.from_json(content, "m.json")


def test_a_record_without_a_number_has_no_bounds_and_says_why():
    missing = make_record("auroc", None, reason="not assessable: 3 positives")
    evaluation = make_evaluation(mean={"test": [missing, make_record("prevalence", 0.4, 0.3, 0.5)]})
    auroc, prevalence = evaluation.mean["test"]
    assert prevalence.bounds == (0.4, 0.3, 0.5)
    assert prevalence.bounds.leaves_out_zero
    with pytest.raises(UndefinedMetric, match="auroc of pneumonia on test: not assessable: 3 positives"):
        _ = auroc.bounds


def test_the_served_point_is_the_one_that_serves():
    points = {"youden": make_point([], served=False), "best_f1": make_point([], threshold=0.7)}
    evaluation = make_evaluation({"mass": {"operating_points": points}, "nodule": {}})
    assert evaluation.served_point("mass").threshold == 0.7
    assert evaluation.served_point("nodule") is None
    assert evaluation.served_point("mass").on("test") is evaluation.served_point("mass").test
    with pytest.raises(KeyError):
        evaluation.served_point("mass").on("train")
