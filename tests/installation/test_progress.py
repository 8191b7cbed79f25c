from __future__ import annotations

import logging

from cxr_tasks.installation.progress_lines import with_progress

logger = logging.getLogger("tests.progress")


def test_items_pass_unchanged_with_rate_and_time_left_in_the_log(caplog):
    now = iter(range(100))  # one second per look at the clock
    with caplog.at_level(logging.INFO):
        items = with_progress("abcdefgh", n_items=8, what="images", logger=logger, every_s=3, clock=lambda: next(now))
        assert list(items) == list("abcdefgh")
    assert [record.getMessage() for record in caplog.records] == [
        "images: 3 of 8, 1 images/s, about 5 s left",
        "images: 6 of 8, 1 images/s, about 2 s left",
        "images: 8 in 9.0 s, 1 images/s",
    ]


def test_short_work_logs_its_total_only(caplog):
    with caplog.at_level(logging.INFO):
        list(with_progress([1, 2], n_items=2, what="images", logger=logger, clock=lambda: 0.0))
    assert len(caplog.records) == 1


def test_items_that_hold_several_count_as_many(caplog):
    now = iter(range(100))
    with caplog.at_level(logging.INFO):
        items = with_progress(
            ["abc", "de", "f"], n_items=6, size=len, what="images", logger=logger, every_s=2, clock=lambda: next(now)
        )
        assert list(items) == ["abc", "de", "f"]
    assert [record.getMessage() for record in caplog.records] == [
        "images: 5 of 6, 2 images/s, about 0 s left",
        "images: 6 in 4.0 s, 2 images/s",
    ]
