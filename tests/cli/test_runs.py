from __future__ import annotations

import json

import pytest

from cxr_tasks.cli.main import main
from cxr_tasks.worklist.request import Wanted
from cxr_tasks.worklist.store import Worklist


@pytest.fixture
def worklist(cxr_home) -> Worklist:
    """A dataset that became a training; a release of the other model that failed."""
    made = Worklist()
    dataset, _ = made.add(
        Wanted(kind="dataset", key="1", model="cxr_binary", conf={"recipe": "kermany_cnn"}, source="event 1")
    )
    made.start(dataset.number)
    made.end(dataset.number, "done", "dataset kermany is prepared")
    made.add(Wanted(kind="training", key="2", model="cxr_binary", parent=dataset.number))
    release, _ = made.add(Wanted(kind="release", key="3", model="cxr_multilabel", version=4))
    made.end(release.number, "failed", "find failed: [bold]no registry[/bold]\x1b[2J")
    return made


def test_the_table_tells_what_came_of_each(worklist, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert "cxr_binary (kermany_cnn)" in lines[0]
    assert "done" in lines[0]
    assert "dataset kermany is prepared" in lines[0]
    assert "waiting" in lines[1]
    # What a task said is text, no markup.
    assert "cxr_multilabel version 4" in lines[2]
    assert "[bold]no registry[/bold]\\x1b[2J" in lines[2]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ([], [1, 2, 3]),
        (["--model", "cxr_binary"], [1, 2]),
        (["--state", "failed"], [3]),
        (["--state", "failed", "--state", "waiting"], [2, 3]),
        (["--kind", "training"], [2]),
        (["--limit", "1"], [3]),
        (["--model", "cxr_multilabel", "--state", "done"], []),
    ],
)
def test_json_and_filters(worklist, capsys, options, numbers):
    assert main(["runs", "--json", *options]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["number"] for one in told] == numbers
    if numbers == [3]:
        assert (told[0]["outcome"], told[0]["version"], told[0]["led_to_by"]) == (
            "find failed: [bold]no registry[/bold]\x1b[2J",
            4,
            None,
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "cxr_binari"], "did you mean 'cxr_binary'?"),
        (["--limit", "0"], "expected a number of at least 1"),
    ],
)
def test_wrong_options_are_named(cxr_home, capsys, options, said):
    assert main(["runs", *options]) == 1
    assert said in capsys.readouterr().err


def test_an_empty_list_says_how_to_begin(cxr_home, capsys):
    assert main(["runs"]) == 0
    assert "nothing was asked for yet" in capsys.readouterr().out
