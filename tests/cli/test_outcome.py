from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from cxr_tasks.cli.demo import is_result
from cxr_tasks.cli.following.outcome import print_outcomes


def facts(**changed: Any) -> dict[str, Any]:
    """What ``outcome_of`` gives for a model that passed the gate."""
    return {
        "dataset": {
            "name": "synthetic_binary",
            "fingerprint": "ab" * 32,
            "n_images": 1200,
            "n_patients": 800,
            "n_quarantined": 0,
            "n_expectations": 71,
            "n_warnings": 2,
        },
        "model": "cxr_binary",
        "version": 3,
        "is_approved": True,
        "test_auroc": 0.99123,
        "test_auroc_lower": 0.97812,
        "test_auroc_upper": 0.99710,
        "test_auroc_method": "DeLong 95 %",
        "n_test": 237,
        "gate_verdict": "PASS",
        "gate_reasons": [],
        "served_version": 3,
        "report": "/home/a/var/reports/cxr_binary/3/index.html",
        "seconds": 151.24,
        "seconds_per_stage": {"dataset.collect": 3.04, "train.train": 33.3},
    } | changed


def shown(*outcomes: dict[str, Any]) -> str:
    console = Console(width=110, record=True, file=io.StringIO())
    print_outcomes(console, outcomes)
    return console.export_text()


def test_one_table_tells_of_all_models():
    refused = facts(
        model="cxr_multilabel",
        version=None,
        is_approved=False,
        gate_verdict="FAIL",
        gate_reasons=["worse than version 2"],
        served_version=2,
        report=None,
        seconds_per_stage={"train.train": 99.0},
    )
    lines = shown(facts(), refused).splitlines()
    rows = {line[:28].strip(): line[28:].split("  ") for line in lines}
    cells = {label: [cell.strip() for cell in row if cell.strip()] for label, row in rows.items()}
    assert cells["version"] == ["3", "none registered"]
    assert cells["test AUROC (95 % interval)"] == ["0.9912 (0.9781 to 0.9971, n 237)"] * 2
    assert cells["gate"] == ["PASS", "FAIL worse than version 2"]
    assert cells["approved"] == ["yes", "no"]
    assert cells["served version"] == ["3", "2"]
    assert cells["dataset.collect (s)"] == ["3.0"]
    assert cells["train.train (s)"] == ["33.3", "99.0"]
    assert cells["first to last (s)"] == ["151.2", "151.2"]
    assert "report of cxr_binary: /home/a/var/reports/cxr_binary/3/index.html" in lines
    assert "report of cxr_multilabel: none" in lines


def test_a_value_that_cannot_be_told_is_not_a_number():
    assert "not assessable" in shown(facts(test_auroc=None, test_auroc_lower=None, test_auroc_upper=None))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"served_version": 2}, False),  # the new one passed and is not what answers
        ({"served_version": None}, False),
        ({"is_approved": False, "served_version": 2}, True),  # a person kept the one before
        (
            {"gate_verdict": "FAIL", "version": None, "is_approved": False, "served_version": 2},
            True,
        ),  # a better one serves
        (
            {"gate_verdict": "FAIL", "version": None, "is_approved": False, "served_version": None},
            False,
        ),  # nothing to show
    ],
)
def test_a_refused_model_is_a_result_where_a_better_one_serves(changed, expected):
    assert is_result(facts(**changed)) is expected
