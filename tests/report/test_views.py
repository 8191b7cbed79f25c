from __future__ import annotations

import pytest

from cxr_tasks.report.card.blocks import Grid, Text
from cxr_tasks.report.card.card import card_of
from cxr_tasks.report.page.render import render_report
from cxr_tasks.report.views import left_out_sentence, view_rows

COUNTED = {
    "train": {"view": {"pa": 600, "ap": 400}},
    "validation": {"view": {"pa": 60, "unknown": 3}},
    "test": {"view": {"ap": 50, "oblique": 2}},
}
LEFT_OUT = {"quarantine": {"lateral_view": 41, "other_body_part": 7, "absent": 1}, "n_left_out": 2}
SENTENCE = (
    "Left out: 41 lateral views, 7 refused as 'other body part', 1 listed image that is not there, 2 that could not be "
    "decoded for training."
)


def test_views_are_counted_by_split_and_a_word_nobody_knows_is_shown():
    assert view_rows(COUNTED) == [
        {"name": "AP", "counts": [400, 0, 50]},
        {"name": "PA", "counts": [600, 60, 0]},
        {"name": "Not known", "counts": [0, 3, 0]},
        {"name": "oblique", "counts": [0, 0, 2]},
    ]
    assert view_rows({}) == view_rows({"train": {"n_images": 3}}) == []


@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        (LEFT_OUT, SENTENCE),
        ({"quarantine": {"lateral_view": 1}}, "Left out: 1 lateral view."),
        ({"quarantine": {}}, "No file was left out."),
        ({"quarantine": None}, ""),  # not recorded
        ({}, ""),
    ],
)
def test_what_was_left_out_is_said_by_reason(provenance, said):
    assert left_out_sentence(provenance) == said


@pytest.mark.parametrize("findings", [("pneumonia",), ("cardiomegaly", "pneumonia")])
def test_card_and_report_say_what_views_there_are(make_inputs, findings):
    inputs = make_inputs(findings=findings, decision=None, provenance=LEFT_OUT)
    statistics = {split: {**one, **COUNTED[split]} for split, one in inputs.statistics.items()}
    inputs = make_inputs(findings=findings, decision=None, provenance=LEFT_OUT, statistics=statistics)
    page = render_report(inputs)
    assert "Images by view and split." in page
    assert (
        '<th scope="row">PA</th><td class="number">600</td><td class="number">60</td><td class="number">0</td>' in page
    )
    assert "41 lateral views" in page
    (data,) = (one for one in card_of(inputs, policy="", environment={}).sections if one.title == "Data")
    (grid,) = (one for one in data.blocks if isinstance(one, Grid) and one.caption == "Images by view and split.")
    assert grid.rows[1] == ["PA", "600", "60", "0"]
    assert SENTENCE in [one.text for one in data.blocks if isinstance(one, Text)]


def test_a_dataset_of_before_views_were_counted_has_its_page(make_inputs):
    page = render_report(make_inputs())
    assert "Images by view and split." not in page
    assert "Left out:" not in page
