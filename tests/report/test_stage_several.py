"""The page of a report of many findings: bounded in size, and of use where none of them can be assessed."""

from __future__ import annotations

import dataclasses
import re

import pytest

from cxr_tasks.contracts.labels import findings_of
from cxr_tasks.contracts.metrics import record_of
from cxr_tasks.explain.localise import Localisation
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.report.writing import write_report
from tests.report.parsed_page import Page

pytestmark = pytest.mark.usefixtures("few_resamples")

FOURTEEN = findings_of("nih14")


def test_several_findings_each_have_their_section(make_inputs, tmp_path):
    inputs = make_inputs(findings=("cardiomegaly", "pneumonia"), decision=None)
    page = Page(verified_path(write_report(inputs, tmp_path / "out")).read_text())
    assert {"metrics-cardiomegaly", "metrics-pneumonia"} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert "No decision of the gate is on record" in " ".join(page.text)


@pytest.fixture
def many(make_inputs, tmp_path):
    """Fourteen findings, one of which has too few positives in validation, and boxes for two."""
    inputs = make_inputs(findings=FOURTEEN, separation=1.5, n=240, rare="hernia", decision=None)
    boxes = {"n_images": 20, "n_hits": 11, "share": 0.55, "lower": 0.34, "upper": 0.74, "random_share": 0.1}
    control = {"control_hits": 2, "control_share": 0.1, "control_lower": 0.03, "control_upper": 0.3}
    before = Localisation(**boxes, heat_share=0.3, n_empty=0, **control)  # of a time before patients were counted
    localised = {"mass": dataclasses.replace(before, n_patients=9), "nodule": before}
    explained = dataclasses.replace(inputs.explanations, localisation=localised, rule="Of 14 findings, a few.")
    ref = write_report(dataclasses.replace(inputs, explanations=explained), tmp_path / "many")
    return Page(verified_path(ref).read_text(encoding="utf-8")), verified_path(ref).stat().st_size, inputs.evaluation


def test_fourteen_findings_are_one_page_of_bounded_size(many):
    page, size, _ = many
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert size < 8_000_000
    assert not page.all("script")
    assert len([one for one in page.all("details") if one.get("class") == "finding"]) == 14
    assert not [one for one in page.all("details") if "open" in one]
    plots = [one for one in page.all("svg") if one.get("class", "").startswith("plot")]
    assert len(plots) == 6  # history, AUROCs, recall, ROC, precision-recall, calibration
    targets = {one["href"][1:] for one in page.all("a") if one["href"].startswith("#")}
    assert {f"metrics-{one}" for one in FOURTEEN} <= targets <= set(page.ids)
    assert all(one.get("scope") in {"col", "row"} for one in page.all("th"))


def test_fourteen_findings_say_what_a_reader_must_know(many):
    page, _, evaluation = many
    text = " ".join(" ".join(page.text).split())
    for wanted in (
        "Recall at raw 0.5",
        "Mean of 13",
        "Micro",
        "no decision to rely on",
        "micro avg",
        "Strongest:",
        "Weakest:",
        "What to do next",
        "Get more positive images of hernia",
        "have an interval that leaves out 0",
        "2 of 20",  # random maps
        "11 of 20 (9 patients)",
        "Of 14 findings, a few.",
        "Ridge regression on 32 x 32 pixels",
    ):
        assert wanted in text, wanted
    assert not re.search(r"\b(nan|None)\b", text)
    assert "person1042" not in text
    mean = record_of(evaluation.mean["test"], "auroc")
    assert f"{mean.value:.3f}, interval {mean.lower:.3f} to {mean.upper:.3f}" in text


def test_fourteen_findings_of_which_none_can_be_assessed_have_a_page_too(make_inputs, tmp_path):
    inputs = make_inputs(findings=FOURTEEN, n=6, decision=None)
    page = Page(verified_path(write_report(inputs, tmp_path / "out")).read_text())
    text = " ".join(page.text)
    assert "None of the 14 findings could be assessed" in text
    assert not re.search(r"\b(nan|None)\b", text.replace("None of the 14", ""))
