"""Releases asked for when a champion changes: once, and named after the question that was answered with them."""

from __future__ import annotations

from cxr_tasks.worklist.champions import APPROVED, ask_for_release
from cxr_tasks.worklist.request import Wanted


def test_a_release_whose_start_takes_long_is_not_asked_for_again(worklist):
    first, is_new = ask_for_release(worklist, "cxr_binary", 3)
    assert is_new
    for state in ("waiting", "started"):
        assert worklist.find(first.number).state == state
        assert ask_for_release(worklist, "cxr_binary", 3) == (worklist.find(first.number), False)
        worklist.start(first.number)
    # Ended without the champion being dealt with: the registry was away.
    worklist.end(first.number, "failed", "find failed: ServiceUnavailable")
    assert ask_for_release(worklist, "cxr_binary", 3)[1]


def test_a_release_follows_from_the_question_that_was_answered_with_it(worklist):
    def asked(key: str, result: str) -> int:
        made, _ = worklist.add(Wanted(kind="promotion", key=key, model="cxr_binary", version=3))
        worklist.tell(made.dag_id, made.run_id, result)
        worklist.end(made.number, "done", result)
        return made.number

    asked("1", "rejected by a: no")
    assert ask_for_release(worklist, "cxr_binary", 3)[0].parent is None  # moved by hand
    worklist.end(worklist.listing(kind="release")[0].number, "done", "")
    question = asked("2", f"{APPROVED} by b: yes")
    release, _ = ask_for_release(worklist, "cxr_binary", 3)
    assert release.parent == question
    worklist.end(release.number, "done", "")
    # Rolled back, and made champion again by hand: that is no answer to the question.
    assert ask_for_release(worklist, "cxr_binary", 3)[0].parent is None


def test_a_champion_of_another_run_under_the_same_number_has_a_release_of_its_own(worklist):
    first, _ = ask_for_release(worklist, "cxr_binary", 1, {"mlflow_run_id": "a"})
    second, is_new = ask_for_release(worklist, "cxr_binary", 1, {"mlflow_run_id": "b"})
    assert is_new
    assert ask_for_release(worklist, "cxr_binary", 1, {"mlflow_run_id": "b"}) == (second, False)
    assert first.run_id != second.run_id
