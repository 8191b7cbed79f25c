from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_tasks.contracts.remarks import Remark
from cxr_tasks.report.card.blocks import (
    Bullets,
    Card,
    Code,
    Grid,
    Section,
    Text,
    as_html,
    as_markdown,
    shortened_markdown,
)
from cxr_tasks.report.card.card import card_of
from cxr_tasks.sources.base import about_source

TITLES = [
    "Intended use and limits",
    "Gate",
    "Metrics",
    "Known failure modes",
    "Data",
    "Operating points",
    "Calibration",
    "Subgroups",
    "Training",
    "How to reproduce",
]


def made_card(inputs):
    return card_of(inputs, policy="cxr_binary 1", environment={"processor": "Some CPU", "commit": "0123abc"})


def section(card, title):
    (found,) = [one for one in card.sections if one.title == title]
    return found


def text_of(card, title):
    return as_markdown(Card(title="", subtitle="", sections=[section(card, title)]))


@pytest.mark.parametrize("findings", [("pneumonia",), ("atelectasis", "hernia", "mass")])
def test_every_card_has_all_sections_in_both_forms(make_inputs, findings):
    card = made_card(make_inputs(findings=findings))
    assert [one.title for one in card.sections] == TITLES
    markdown, html = as_markdown(card), as_html(card)
    for title in TITLES:
        assert f"\n## {title}\n" in markdown
        assert f">{title}</h2>" in html
    assert "Research use only; not a medical device." in markdown
    assert "http" not in html.replace("http-equiv", "")


def test_a_card_says_what_a_reader_has_to_know_beside_the_rules(make_inputs):
    inputs = make_inputs()
    assert "Ended by a clock" not in text_of(made_card(inputs), "Gate")
    remark = Remark("clock", "A clock ended training after epoch 3 of 40.")
    inputs = dataclasses.replace(inputs, evaluation=dataclasses.replace(inputs.evaluation, remarks=(remark,)))
    assert "- Ended by a clock: A clock ended training after epoch 3 of 40." in text_of(made_card(inputs), "Gate")


def test_a_card_of_one_finding_shows_its_numbers_with_n_and_interval(make_inputs):
    inputs = make_inputs()
    card = made_card(inputs)
    auroc = inputs.evaluation.mean["test"][0]
    shown = f"{auroc.value:.3f} ({auroc.lower:.3f} to {auroc.upper:.3f})"
    assert f"| AUROC | {shown} | {auroc.n} (" in text_of(card, "Metrics")
    assert "| Pneumonia | Target sensitivity (served) | " in text_of(card, "Operating points")
    calibration = inputs.evaluation.by_finding["pneumonia"].calibration
    assert f"a = {calibration.a:.3f}, b = {calibration.b:.3f}" in text_of(card, "Calibration")
    assert "| View: ap | " in text_of(card, "Subgroups")
    assert "\nPolicy cxr_binary 1.\n" in text_of(card, "Gate")
    for rule in inputs.decision["rules"]:
        assert f"| {rule['name'].replace('_', ' ')} | {rule['outcome'].replace('_', ' ').lower()} |" in text_of(
            card, "Gate"
        )


def test_the_data_is_told_with_counts_origin_and_terms(make_inputs):
    shown = text_of(made_card(make_inputs(n=200)), "Data")
    assert "doi:10.17632/rscbjbr9sj" in shown
    assert "CC BY 4.0" in shown
    assert "| train | 200 | 100 | 120 | 80 | 0 |" in shown
    several = text_of(made_card(make_inputs(findings=("hernia", "mass"))), "Data")
    assert "| Hernia | 120 | 120 | 120 |" in several


def test_the_reproduction_names_command_data_recipe_and_machine(make_inputs):
    inputs = make_inputs()
    shown = text_of(made_card(inputs), "How to reproduce")
    assert "\ncxr reproduce cxr_binary 3\n" in shown
    for text in (inputs.fingerprint, inputs.recipe_sha256, inputs.evaluation.rows_sha256, "Some CPU", "0123abc"):
        assert text in shown
    assert "\ntrain:\n" in shown


@pytest.mark.parametrize("findings", [("pneumonia",), ("pneumonia", "mass")])
def test_a_finding_that_cannot_be_assessed_has_reasons_in_place_of_numbers(make_inputs, findings):
    card = made_card(make_inputs(findings=findings, rare="pneumonia"))
    assert "positive" in text_of(card, "Known failure modes")
    assert "None" not in as_markdown(card)
    assert "nan" not in text_of(card, "Metrics").lower().split()
    assert ("there is no operating point" in text_of(card, "Operating points")) == (len(findings) == 1)


def test_a_source_of_ones_own_is_of_the_operator():
    assert "CC BY 4.0" in about_source("kermany").terms
    about = about_source("local")
    assert about.origin == "Source local, of the operator of this installation."
    assert about.terms == about_source("dicom").terms


def test_a_card_without_a_decision_says_so(make_inputs):
    assert "No decision of the gate is on record" in text_of(made_card(make_inputs(decision=None)), "Gate")


EVIL = Card(
    title="a <script>alert(1)</script>",
    subtitle="b | c",
    sections=[
        Section(
            "d",
            [
                Text("*not bold*\n# no heading"),
                Bullets(["[x](javascript:1)"]),
                Grid("", ("e",), [["f|g\nh"]]),
                Code("```\n<i>"),
            ],
        )
    ],
)


def test_what_comes_from_data_is_shown_as_it_is_in_both_forms():
    assert as_markdown(EVIL) == (
        "# a &lt;script&gt;alert(1)&lt;/script&gt;\n\nb \\| c\n\n## d\n\n\\*not bold\\* # no heading\n\n"
        "- \\[x\\](javascript:1)\n\n| e |\n| --- |\n| f\\|g h |\n\n````\n```\n<i>\n````\n"
    )
    html = as_html(EVIL)
    assert "<script>" not in html and "<i>" not in html
    assert "<td>" not in html and '<th scope="row">f|g\nh</th>' in html


def test_a_description_that_is_too_long_keeps_its_first_sections_whole(make_inputs):
    card, rest = made_card(make_inputs()), "The whole card: elsewhere."
    whole = as_markdown(card)
    assert len(whole) > 5000
    short = shortened_markdown(card, 5000, rest)
    assert len(short) <= 5000
    assert short.endswith(rest)
    assert whole.startswith(short.removesuffix(rest).rstrip())
    assert "## Metrics" in short
    assert shortened_markdown(card, len(whole), rest) == whole


@given(st.integers(0, 400))
def test_a_description_never_exceeds_its_limit(limit):
    assert len(shortened_markdown(EVIL, limit, "The rest is elsewhere.")) <= limit
