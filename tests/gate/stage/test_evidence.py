"""Evaluations that cannot be relied on: files gone or changed, numbers that are none or not those of the rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cxr_tasks.gate.stage import gate_candidate
from cxr_tasks.installation.storage.files import reference_to
from tests.gate.builders import make_scores
from tests.gate.stage.evaluated import evaluated, outcomes


def remove(path: Path) -> None:
    path.unlink()


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize("name", ["metrics", "predictions"])
@pytest.mark.parametrize(("damage", "said"), [(remove, "found none"), (append, "changed after it was written")])
def test_a_missing_or_changed_file_is_a_fail_with_its_name(recipe, paths, tmp_path, *, name, damage, said):
    model = evaluated(tmp_path, make_scores())
    damage(Path(getattr(model, name).uri))
    decision = gate_candidate(model, recipe, None, paths)
    assert outcomes(decision) == {"evidence": "FAIL"}
    assert decision.verdict == "FAIL"
    assert name in decision.reasons[0]
    assert said in decision.reasons[0]


def test_a_file_that_may_not_be_read_is_a_fail(recipe, paths, tmp_path, monkeypatch):
    def refused(path, findings):
        raise PermissionError(13, "Permission denied", str(path))

    model = evaluated(tmp_path, make_scores())
    monkeypatch.setattr("cxr_tasks.gate.stage.read_predictions", refused)
    decision = gate_candidate(model, recipe, None, paths)
    assert (decision.verdict, outcomes(decision)) == ("FAIL", {"evidence": "FAIL"})
    assert "Permission denied" in decision.reasons[0]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"rows_sha256": 1}', '{"findings": "pneumonia"}'])
def test_metrics_that_say_nothing_are_a_fail(recipe, paths, tmp_path, content):
    model = evaluated(tmp_path, make_scores())
    Path(model.metrics.uri).write_text(content)
    model = dataclasses.replace(model, metrics=reference_to(Path(model.metrics.uri)))
    decision = gate_candidate(model, recipe, None, paths)
    assert decision.verdict == "FAIL"
    assert outcomes(decision) == {"evidence": "FAIL"}


def set_mean(**changed):
    def change(metrics):
        metrics["mean"]["test"][0].update(changed)

    return change


def raise_auroc(metrics):
    for records in (metrics["mean"]["test"], metrics["by_finding"]["pneumonia"]["metrics"]["test"]):
        for one in records:
            one.update(value=0.999, lower=0.99, upper=1.0)


def raise_mean_only(metrics):
    for one in metrics["mean"]["test"]:
        one.update(value=0.999, lower=0.99, upper=1.0)


def other_threshold(metrics):
    metrics["serving"]["pneumonia"]["threshold"] = 0.999


def of_another_finding(metrics):
    metrics["findings"] = ["hernia"]
    for part in ("by_finding", "serving"):
        metrics[part] = {"hernia": metrics[part]["pneumonia"]}


@pytest.mark.parametrize(
    ("change", "rule", "said"),
    [
        (set_mean(value=None, lower=None, upper=None, reason="r"), "mean_auroc", "on test is not known: r"),
        (set_mean(lower=None), "mean_auroc", "a number is missing"),
        (raise_auroc, "evidence", "is stated as 0.999000"),  # better numbers than the predictions give
        (raise_mean_only, "evidence", "mean AUROC is stated as 0.999000"),
        (other_threshold, "evidence", "served threshold"),  # would be served otherwise than it was measured
        (lambda m: m.update(rows_sha256="f" * 64), "evidence", "test rows ffffffffffff"),
        (of_another_finding, "evidence", "the metrics are of hernia, the recipe asks for pneumonia"),
        (lambda m: m.update(findings=["hernia"]), "evidence", "expected each of the findings hernia in by_finding"),
        (lambda m: m.update(confidence=0.5), "evidence", "intervals are of 0.5, the policy asks for 0.95"),
        (lambda m: m["mean"].pop("test"), "evidence", "does not hold what the gate reads"),
        (lambda m: m["by_finding"]["pneumonia"].pop("subgroups"), "evidence", "pneumonia: 'subgroups' is missing"),
        (lambda m: m.update(format=4), "evidence", "expected format 3 or an earlier one, found 4"),
        (set_mean(lower="high"), "evidence", "mean.test[0].lower: expected float, found str 'high'"),
        (set_mean(lower=True), "evidence", "mean.test[0].lower: expected float, found bool True"),
        (lambda m: m["by_finding"]["pneumonia"]["counts"].clear(), "evidence", "does not hold what the gate reads"),
    ],
)
def test_numbers_that_cannot_be_relied_on_are_a_fail(recipe, paths, tmp_path, *, change, rule, said):
    decision = gate_candidate(evaluated(tmp_path, make_scores(), change), recipe, None, paths)
    assert decision.verdict == "FAIL"
    assert outcomes(decision)[rule] == "FAIL"
    assert said in " ".join(decision.reasons)


def test_metrics_of_another_finding_are_asked_nothing_else(recipe, paths, tmp_path):
    decision = gate_candidate(evaluated(tmp_path, make_scores(), of_another_finding), recipe, None, paths)
    assert outcomes(decision) == {"evidence": "FAIL"}
    (reason,) = decision.reasons
    assert reason.endswith("of hernia, the recipe asks for pneumonia. Evaluate the model again.")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("place", ["lower", "value"])
def test_numbers_that_are_none_are_a_fail(recipe, paths, tmp_path, number, place):
    """JSON has no such numbers, and Python reads them: what compares with NaN must not pass."""
    model = evaluated(tmp_path, make_scores(), set_mean(**{place: 123.456}))
    path = Path(model.metrics.uri)
    text = path.read_text()
    assert text.count("123.456") == 1
    path.write_text(text.replace("123.456", number))
    decision = gate_candidate(dataclasses.replace(model, metrics=reference_to(path)), recipe, None, paths)
    assert (decision.verdict, outcomes(decision)) == ("FAIL", {"evidence": "FAIL"})
    assert f"mean.test[0].{place}" in decision.reasons[0]
