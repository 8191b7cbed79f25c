"""The page of requests: newest first, each with its state, outcome and run, and others' words as words."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime

import pytest

from cxr_tasks.report import requests as page
from cxr_tasks.report.requests import render_requests
from cxr_tasks.worklist.request import Wanted
from cxr_tasks.worklist.store import Worklist

EVIL = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture
def worklist(cxr_home):
    return Worklist()


def asked(worklist, key: str, **changed):
    made, _ = worklist.add(
        Wanted(**{"kind": "dataset", "key": key, "model": "cxr_binary", "source": "a test", **changed})
    )
    return made


def shown(worklist, which="all") -> str:
    return render_requests(worklist, datetime.now(UTC), which)


def cells(text: str) -> list[list[str]]:
    """The table as the words that a person reads, row by row."""
    return [
        [html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr id=.*?</tr>", text)
    ]


def test_each_request_has_a_line_newest_first(worklist):
    first = asked(worklist, "1", conf={"recipe": "synthetic_binary"})
    worklist.start(first.number)
    worklist.end(first.number, "done", "dataset synthetic 12 is prepared")
    second = asked(worklist, "2", kind="training", parent=first.number)
    third = asked(worklist, "3")
    worklist.end(third.number, "failed", "nothing was run: no such recipe")
    fourth = asked(worklist, "4", kind="release", version=7)
    worklist.start(fourth.number)
    worklist.tell(fourth.dag_id, fourth.run_id, "exported")
    assert [row[:6] for row in cells(shown(worklist))] == [
        ["4", "release", "cxr_binary version 7", "started", "exported", "run"],
        ["3", "dataset", "cxr_binary", "failed", "nothing was run: no such recipe", "none"],
        ["2", "training", "cxr_binary", "waiting", "–", "not yet"],
        ["1", "dataset", "cxr_binary (synthetic_binary)", "done", "dataset synthetic 12 is prepared", "run"],
    ]
    assert [row[8] for row in cells(shown(worklist))] == ["a test", "a test", str(first.number), "a test"]
    assert f'href="#request-{first.number}"' in shown(worklist)
    assert second.number == first.number + 1


@pytest.mark.parametrize(("which", "numbers"), [("all", "321"), ("open", "3"), ("done", "1"), ("failed", "2")])
def test_some_of_them_are_shown_by_state(worklist, which, numbers):
    for key, state in (("1", "done"), ("2", "failed"), ("3", "")):
        made = asked(worklist, key)
        if state:
            worklist.end(made.number, state, "so")
    assert [row[0] for row in cells(shown(worklist, which))] == list(numbers)
    assert f"<strong>{which}</strong>" in shown(worklist, which)


def test_the_link_leads_to_the_run(worklist):
    made = worklist.add_run(
        Wanted(kind="training", key="x", source="by hand"), "cxr_train_binary", "manual__1:30+00/x", datetime.now(UTC)
    )
    assert 'href="/dags/cxr_train_binary/runs/manual__1%3A30%2B00%2Fx"' in shown(worklist)
    assert page.run_of(made) == "/dags/cxr_train_binary/runs/manual__1%3A30%2B00%2Fx"


def test_what_others_said_is_only_text(worklist):
    wanted = {"model": EVIL, "source": EVIL, "conf": {"recipe": EVIL}}
    made = asked(worklist, EVIL, kind="promotion", **wanted)
    worklist.start(made.number)
    worklist.end(made.number, "failed", EVIL)
    worklist.add_run(Wanted(kind="report", key="y", source=EVIL), "cxr_report", EVIL, datetime.now(UTC))
    text = shown(worklist)
    assert "<img" not in text
    assert "<script" not in text
    assert text.count(html.escape("<script>alert(2)</script>")) == 5  # subject has two of them


def test_a_long_list_says_how_to_see_the_rest(worklist, monkeypatch):
    monkeypatch.setattr(page, "SHOWN", 3)
    for key in range(5):
        asked(worklist, str(key))
    assert [row[0] for row in cells(shown(worklist))] == ["5", "4", "3"]
    assert "cxr runs --limit" in shown(worklist)


def test_an_empty_list_says_so(worklist):
    assert "Nothing was asked for yet" in shown(worklist)
    assert "No request is failed" in shown(worklist, "failed")
