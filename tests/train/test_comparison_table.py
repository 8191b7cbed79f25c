from __future__ import annotations

import pytest

from cxr_tasks.train.candidates.comparison_table import as_markdown, as_text, summary_of


def candidate(number: int, **changes) -> dict:
    return {
        "number": number, "name": f"seed={number}", "outcome": "finished", "reason": "", "epochs_run": 12,
        "best_epoch": 9, "val_auroc": 0.81234, "val_auroc_lower": 0.78, "val_auroc_upper": 0.84, "val_score": 0.80012,
        "to_winner": -0.012, "to_winner_lower": -0.03, "to_winner_upper": 0.006, "seconds": 61.7, **changes,
    }  # fmt: skip


def comparison(*candidates: dict, **changes) -> dict:
    return {
        "run_name": "nih_densenet121 manual__1", "n_images": 104, "n_patients": 60, "n_findings": 14,
        "n_stressed_views": 0, "interval": "DeLong 95 % by patient, logit scale", "winner": 1,
        "candidates": list(candidates), **changes,
    }  # fmt: skip


WINNER = candidate(1, outcome="winner", to_winner=None, to_winner_lower=None, to_winner_upper=None)


def test_the_log_shows_a_line_for_each_with_its_interval_and_its_distance_to_the_winner():
    lines = as_text(comparison(WINNER, candidate(2))).splitlines()
    assert lines[0].split("  ")[0] == "candidate" and "score" not in lines[0]
    assert "0.8123     0.7800 to 0.8400  -" in lines[2] and lines[2].endswith("62  winner")
    assert "-0.0120 (-0.0300 to +0.0060)" in lines[3]
    assert "mean over 14 assessable findings, 104 images of 60 patients" in lines[4]


def test_with_stressed_views_the_score_that_decides_is_shown():
    shown = as_text(comparison(WINNER, candidate(2), n_stressed_views=2))
    assert "score" in shown.splitlines()[0] and "0.8001" in shown and "2 stressed views" in shown


@pytest.mark.parametrize(
    ("changes", "said", "not_said"),
    [
        ({"n_findings": 1}, "of the one finding", "mean over"),
        ({"candidates": [WINNER]}, "104 images", "best of several"),  # nothing was chosen from
        ({"winner": None}, "No candidate was trained", "images"),
    ],
)
def test_the_summary_says_what_is_true_of_this_comparison(changes, said, not_said):
    found = summary_of({**comparison(WINNER, candidate(2)), **changes})
    assert said in found and not_said not in found


def test_markdown_keeps_its_columns_whatever_a_reason_holds():
    nothing = dict.fromkeys(
        ("epochs_run", "best_epoch", "val_auroc", "val_auroc_lower", "val_score", "seconds", "to_winner")
    )
    failed = candidate(3, name="widths=[4]|x", outcome="failed", reason="DataDefect: <b>\nloss | nan", **nothing)
    shown = as_markdown(comparison(WINNER, failed))
    rows = [line for line in shown.splitlines() if line.startswith("| ")]
    assert len(rows) == 4 and len({row.replace("\\|", "").count("|") for row in rows}) == 1
    assert "- 3 failed: DataDefect: &lt;b> loss \\| nan" in shown and "| - | - | - | - | - | - | failed |" in shown
