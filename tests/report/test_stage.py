from __future__ import annotations

import dataclasses
import re

import pytest
from markupsafe import escape

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.policies import load_policy
from cxr_tasks.contracts.remarks import Remark
from cxr_tasks.installation.storage.files import sha256_file, verified_path
from cxr_tasks.registry.overrides import Override
from cxr_tasks.report.page.gate import gate_section
from cxr_tasks.report.writing import write_index, write_report
from tests.report.parsed_page import Page

pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture
def page(make_inputs, tmp_path):
    ref = write_report(make_inputs(), tmp_path / "out")
    return Page(verified_path(ref).read_text(encoding="utf-8"))


def test_the_page_is_whole_html_with_unique_ids(page):
    assert page.open == []
    assert len(page.ids) == len(set(page.ids)) > 20
    assert page.all("html") == [{"lang": "en"}]
    targets = {one["href"][1:] for one in page.all("a") if one["href"].startswith("#")}
    assert targets <= set(page.ids)
    referred = {one["xlink:href"][1:] for one in page.all("use")}
    assert referred
    assert referred <= set(page.ids)


def test_nothing_is_loaded_from_elsewhere(page):
    for tag in ("script", "iframe", "object", "embed", "video", "audio"):
        assert not page.all(tag)
    assert all(one["src"].startswith("data:image/png;base64,") for one in page.all("img"))
    assert [one["href"] for one in page.all("link")] == ["data:,"]
    policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    style = "".join(page.text)
    assert "@import" not in style
    assert not re.search(r"url\((?!#)", style)


def test_pictures_and_plots_have_words(page):
    images = page.all("img")
    assert len(images) == 4
    assert all(len(one["alt"]) > 40 for one in images)
    plots = [one for one in page.all("svg") if one.get("class", "").startswith("plot")]
    assert len(plots) == 5  # history, ROC, precision-recall, calibration, baselines
    assert all(one["role"] == "img" and len(one["aria-label"]) > 20 for one in plots)


def test_every_table_has_headers_with_a_scope(page):
    assert len(page.all("table")) > 6
    assert all(one.get("scope") in {"col", "row"} for one in page.all("th"))


def test_it_says_what_a_reader_must_know(page):
    text = " ".join(" ".join(page.text).split())
    for wanted in (
        "cxr_binary, version 3",
        "Passed the gate",
        "not a medical device",
        "A heat map is not a diagnosis",
        "What it cannot do",
        "True positives",
        "False negatives",
        "Confusion matrix",
        "Ridge regression on 32 x 32 pixels",
        "0123456789abcdef" * 4,
        "cxr trigger kermany_cnn --data DIR",
        "weighted avg",
        "tensorflow 2.21.0",
        "map is empty",
        f"Asked by policy cxr_binary, version {load_policy('cxr_binary').version}, section kermany",
        "Specificity at the target sensitivity",
        "There is no champion yet",
    ):
        assert wanted in text, wanted


def test_no_patient_identifier_is_on_the_page(page, make_inputs, tmp_path):
    text = verified_path(write_report(make_inputs(), tmp_path / "again")).read_text()
    assert "person1042" not in text
    assert "v000000000000000" not in text


def test_the_same_inputs_give_the_same_page(make_inputs, tmp_path):
    first, second = (write_report(make_inputs(), tmp_path / name) for name in ("a", "b"))
    assert first.sha256 == second.sha256 == sha256_file(tmp_path / "a" / "index.html")


def test_text_from_outside_is_escaped(make_inputs, tmp_path):
    evil = "<script>alert(1)</script>"
    inputs = make_inputs(model_name=evil, git_commit=evil, release={evil: evil}, packages={evil: evil})
    inputs.recipe["name"] = evil
    text = verified_path(write_report(inputs, tmp_path / "out")).read_text()
    assert evil not in text
    assert "&lt;script&gt;" in text
    assert not Page(text).all("script")


def test_a_refused_model_says_so_with_every_reason(make_inputs, tmp_path):
    inputs = make_inputs(separation=1.0)
    assert inputs.decision["verdict"] == "FAIL"
    text = verified_path(write_report(inputs, tmp_path / "out")).read_text()
    assert "Refused by the gate" in text
    assert 'class="verdict FAIL"' in text
    for reason in inputs.decision["reasons"]:
        assert str(escape(reason)) in text


def test_rules_that_are_not_met_come_first(make_inputs):
    inputs = make_inputs(separation=1.0)
    outcomes = [rule["outcome"] for rule in gate_section(inputs)["rules"]]
    assert outcomes[0] == "FAIL"
    assert outcomes == sorted(outcomes, key=["FAIL", "NOT_APPLICABLE", "PASS"].index)


def test_a_floor_of_the_run_is_told(make_inputs, tmp_path):
    inputs = make_inputs()
    inputs.decision["gate_floor"] = {"policy": 0.9, "run": 0.6}
    text = verified_path(write_report(inputs, tmp_path / "out")).read_text()
    assert "The floor of the mean AUROC was set to 0.6 for this run; the policy asks for 0.9." in text


def test_an_override_stands_on_the_page_with_name_and_reason(make_inputs, tmp_path):
    override = Override(by="A. Okafor", reason="compared <by hand>", at="2026-11-26T20:15:00+00:00")
    inputs = make_inputs(overrides=[override])
    reason = "The candidate cannot be compared with champion version 2: its model file is gone."
    inputs.decision.update(verdict="NEEDS_HUMAN", reasons=[reason])
    text = verified_path(write_report(inputs, tmp_path / "out")).read_text()
    assert 'class="verdict NEEDS_HUMAN"' in text
    assert "Left to a person by the gate" in text
    assert reason in text
    assert "Override of A. Okafor, 2026-11-26T20:15 UTC: compared &lt;by hand&gt;" in text
    assert "A. Okafor let this version serve on 2026-11-26T20:15 UTC" in text


def test_a_decision_from_before_policies_still_has_its_table(make_inputs, tmp_path):
    rule = {"name": "auroc_floor", "outcome": "PASS", "sentence": "It is met.", "value": 0.95, "lower": 0.9}
    old = {"verdict": "PASS", "reasons": [], "policy": {}, "rules": [{**rule, "upper": 0.97, "bound": 0.9}]}
    text = verified_path(write_report(make_inputs(decision=old), tmp_path / "out")).read_text()
    assert "auroc floor" in text
    assert "It is met." in text


def test_a_model_that_could_not_be_assessed_has_a_page_too(make_inputs, tmp_path):
    page = Page(verified_path(write_report(make_inputs(n=6), tmp_path / "out")).read_text())
    text = " ".join(page.text)
    assert "Not assessable" in text
    assert "at least 5 of each are needed" in text
    assert not re.search(r"\b(nan|None)\b", text)


def test_metrics_of_format_1_have_a_page(make_inputs, tmp_path):
    """A version that was registered before gaps and PPV targets were measured."""
    inputs = make_inputs()
    metrics = inputs.evaluation.to_json()
    metrics["format"] = 1
    for name in ("several", "multilabel_report"):
        del metrics[name]
    found = metrics["by_finding"]["pneumonia"]
    del found["raw_half"], found["unreached_points"]
    for row in found["subgroups"]:
        for name in ("auroc", "sensitivity_gap", "specificity_gap", "is_gap_weak"):
            del row[name]
    assert found["subgroups"]
    inputs = dataclasses.replace(inputs, evaluation=Evaluation.from_json(metrics))
    page = Page(verified_path(write_report(inputs, tmp_path / "out")).read_text())
    assert page.open == []
    assert "Subgroups of the test split" in " ".join(page.text)


def test_what_is_missing_is_said(make_inputs, tmp_path):
    inputs = make_inputs(explanations=None, decision=None, git_commit=None, history=[], links={})
    text = verified_path(write_report(inputs, tmp_path / "out")).read_text()
    for wanted in ("No heat maps were made", "No decision of the gate is on record", "commit not known"):
        assert wanted in text


def test_a_broken_predictions_file_is_a_data_defect_and_leaves_the_old_page(make_inputs, tmp_path):
    first = write_report(make_inputs(), tmp_path / "out")
    inputs = make_inputs()
    inputs.predictions.write_bytes(b"broken")
    with pytest.raises(DataDefect, match=r"predictions\.parquet"):
        write_report(inputs, tmp_path / "out")
    assert verified_path(first).is_file()


def test_the_index_lists_reports_newest_first(make_inputs, tmp_path):
    root = tmp_path / "reports"
    for version in (2, 10):
        write_report(make_inputs(version=version), root / "cxr_binary" / str(version))
    (root / "cxr_binary" / "11").mkdir()  # a report that is not finished
    page = Page(write_index(root).read_text())
    addresses = [one["href"] for one in page.all("a")]
    assert addresses == ["cxr_binary/10/index.html", "cxr_binary/2/index.html"]
    assert page.open == []


def test_an_index_of_nothing_says_so(tmp_path):
    assert "There is no report yet" in write_index(tmp_path).read_text()


def test_what_a_reader_has_to_know_stands_with_the_gate(make_inputs, tmp_path):
    inputs = make_inputs()
    sentence = "Model number 4 measured on these 300 test images <by the record>."
    evaluation = dataclasses.replace(inputs.evaluation, remarks=(Remark("test_reuse", sentence),))
    inputs = dataclasses.replace(inputs, evaluation=evaluation)
    found = Page(verified_path(write_report(inputs, tmp_path / "out")).read_text(encoding="utf-8"))
    told = [one.strip() for one in found.text if one.strip()]
    assert told[told.index("Use of the test split") + 1] == sentence
