"""The search as tasks use it: one journal, many processes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.train_specs import SearchSpec
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.train.candidates.search import Search

SPACE = {"train.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}, "train.loss.kind": ["focal", "asymmetric"]}

ASK = """
import json, sys, time
from pathlib import Path
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.train.candidates.search import Search
recipe = Recipe.from_dict(json.loads(Path(sys.argv[1]).read_text()))
search = Search(Path(sys.argv[2]), recipe)
print("ready", flush=True)
sys.stdin.readline()
for number in map(int, sys.argv[3:]):
    print(json.dumps([number, search.settings_of(number)]), flush=True)
"""


@pytest.fixture
def searching(tiny_recipe):
    """The tiny recipe with a search; anything of it can be set."""

    def make(**changes) -> Recipe:
        spec = SearchSpec(**{"n_candidates": 8, "space": SPACE, "seed": 5, **changes})
        return dataclasses.replace(tiny_recipe, search=spec)

    return make


def told(search: Search, number: int, scores: list[float]) -> str:
    """Epoch by epoch as a training does; the reason to end, or ''."""
    for n in range(1, len(scores) + 1):
        if reason := search.tell_epochs(number, dict(enumerate(scores[:n], start=1))):
            return reason
    return ""


def test_a_candidate_has_its_settings_for_good_and_no_two_have_the_same(tmp_path, searching):
    search = Search(tmp_path, searching())
    first = search.settings_of(1)
    others = [search.settings_of(number) for number in range(2, 9)]
    assert set(first) == set(SPACE)
    assert 1e-4 <= first["train.learning_rate"] <= 1e-1 and first["train.loss.kind"] in SPACE["train.loss.kind"]
    assert Search(tmp_path, searching()).settings_of(1) == first, "asked again by a retry"
    assert len({json.dumps(one) for one in [first, *others]}) == 8


def test_the_first_has_the_settings_of_the_recipe_where_the_space_holds_them(tmp_path, searching):
    space = {"train.learning_rate": SPACE["train.learning_rate"], "train.loss.kind": ["focal", "weighted_bce"]}
    recipe = searching(space=space)
    own = {"train.learning_rate": recipe.train.learning_rate, "train.loss.kind": recipe.train.loss.kind}
    assert Search(tmp_path / "inside", recipe).settings_of(1) == own
    assert Search(tmp_path / "outside", searching()).settings_of(1)["train.loss.kind"] != "weighted_bce"
    few = {"train.loss.kind": ["weighted_bce", "focal"]}
    others_first = Search(tmp_path / "few", searching(space=few, n_candidates=2))
    assert others_first.settings_of(2) == {"train.loss.kind": "focal"}
    assert others_first.settings_of(1) == {"train.loss.kind": "weighted_bce"}


def test_the_seed_decides(tmp_path, searching):
    def proposals(folder: str, seed: int) -> list[dict]:
        search = Search(tmp_path / folder, searching(seed=seed))
        found = []
        for number in range(1, 7):
            found.append(search.settings_of(number))
            search.tell_end(number, found[-1]["train.learning_rate"])
        return found

    first = proposals("a", 1)
    assert proposals("b", 1) == first
    assert proposals("c", 2) != first


def test_later_candidates_learn_from_those_that_have_ended(tmp_path, searching):
    """The score peaks at a learning rate of 0.003; proposals at random would be off by 0.75 decades in the mean."""
    from math import log10

    search, off = Search(tmp_path, searching(n_candidates=30)), []
    for number in range(1, 31):
        rate = search.settings_of(number)["train.learning_rate"]
        off.append(abs(log10(rate / 3e-3)))
        search.tell_end(number, 1 - off[-1])
    early, late = sum(off[:10]) / 10, sum(off[-10:]) / 10
    assert late < 0.4 < early


def test_a_small_space_is_gone_through_without_repeating(tmp_path, searching):
    space = {
        "train.batch_size": [4, 8],
        "train.network_options": [{"widths": [4]}, {"widths": [4, 8]}, {"dropout": 0.1}],
    }
    search = Search(tmp_path, searching(n_candidates=6, space=space))
    found = [search.settings_of(number) for number in range(1, 7)]
    expected = {json.dumps([a, b]) for a in space["train.batch_size"] for b in space["train.network_options"]}
    assert {json.dumps(list(one.values())) for one in found} == expected


def test_two_processes_may_ask_at_once(tmp_path, searching):
    recipe = searching(n_candidates=20)
    order = tmp_path / "recipe.json"
    order.write_text(json.dumps(recipe.to_dict()))
    numbers = [[str(one) for one in range(first, 21, 2)] for first in (1, 2)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(order), str(tmp_path / "run"), *mine],
            cwd=PROJECT_ROOT, env=dict(os.environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for mine in numbers
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    lines = [line for worker in workers for line in worker.communicate(timeout=300)[0].splitlines()]
    assert [worker.returncode for worker in workers] == [0, 0]
    found = dict(json.loads(line) for line in lines)
    assert sorted(found) == list(range(1, 21))
    assert len({json.dumps(one) for one in found.values()}) == 20
    again = Search(tmp_path / "run", recipe)
    assert {number: again.settings_of(number) for number in found} == found


def test_a_killed_process_does_not_keep_the_others_waiting(tmp_path, searching):
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import fcntl, sys; f = open({str(tmp_path / 'search.lock')!r}, 'w'); "
         "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.readline()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait(timeout=300)
    assert Search(tmp_path, searching()).settings_of(1)


GOOD, BETTER, BAD = [0.6, 0.7, 0.8, 0.85], [0.6, 0.75, 0.85, 0.9], [0.5, 0.55, 0.6, 0.6]


def searched(folder: Path, recipe: Recipe) -> Search:
    """A search with two candidates that ran to their end and a third that has its settings."""
    search = Search(folder, recipe)
    for number, scores in ((1, GOOD), (2, BETTER)):
        search.settings_of(number)
        assert told(search, number, scores) == ""
        search.tell_end(number, max(scores))
    search.settings_of(3)
    return search


def test_a_candidate_that_falls_behind_is_ended_and_stays_so(tmp_path, searching):
    search = searched(tmp_path, searching())
    assert told(search, 3, BAD).startswith("behind the other candidates: 0.5500 at best after epoch 2")
    assert search.was_ended_early(3)
    again = Search(tmp_path, searching())
    assert again.tell_epochs(3, dict(enumerate(BAD, start=1))) != "", "a task that was killed just then"
    again.tell_end(3, 0.6)
    assert again.was_ended_early(3) and not again.was_ended_early(2)


def test_one_that_keeps_up_goes_on_and_a_passing_dip_does_not_end_it(tmp_path, searching):
    search = searched(tmp_path, searching())
    assert told(search, 3, [0.6, 0.75, 0.5, 0.5]) != "", "0.75 at best, behind 0.8 and 0.85 at epoch 3"
    search.settings_of(4)
    assert told(search, 4, [0.6, 0.84, 0.5, 0.9]) == ""


def test_nobody_is_ended_before_some_have_run_to_their_end_or_where_the_recipe_says_so(tmp_path, searching):
    alone = Search(tmp_path / "alone", searching())
    alone.settings_of(1)
    assert told(alone, 1, BAD) == ""
    assert told(searched(tmp_path / "patient", searching(stop_early=False)), 3, BAD) == ""


def test_a_failed_candidate_keeps_its_settings_and_teaches_nothing(tmp_path, searching):
    search = Search(tmp_path, searching())
    settings = search.settings_of(1)
    search.tell_end(1, None)
    search.tell_end(1, 0.9)
    assert search.settings_of(1) == settings and not search.was_ended_early(1)
    search.settings_of(2)
    assert told(search, 2, BAD) == "", "it is no measure for others"


def test_a_candidate_that_never_asked_is_named(tmp_path, searching):
    with pytest.raises(DataDefect, match="expected a trial of candidate 9"):
        Search(tmp_path, searching()).tell_epochs(9, {1: 0.5})
