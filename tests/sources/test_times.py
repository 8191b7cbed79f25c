"""Times as spreadsheets show them: read where they mean one time, refused where they may mean two."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_tasks.sources.reading.times import may_be_two, order_of, time_of

DAY = datetime(2026, 3, 5)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-03-05", DAY),
        ("2026-03-05T14:30", DAY.replace(hour=14, minute=30)),
        ("2026-03-05 14:30:05", DAY.replace(hour=14, minute=30, second=5)),
        ("2026-03-05T14:30+02:00", DAY.replace(hour=14, minute=30, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-03-05T14:30Z", DAY.replace(hour=14, minute=30, tzinfo=UTC)),
        ("2026/3/5 9:05", DAY.replace(hour=9, minute=5)),
        ("5.3.2026", DAY),
        ("05.03.2026 14:30", DAY.replace(hour=14, minute=30)),
        ("05.03.2026, 14:30:05", DAY.replace(hour=14, minute=30, second=5)),
        ("25/3/2026 14:30", datetime(2026, 3, 25, 14, 30)),
        ("3/25/2026 2:30 PM", datetime(2026, 3, 25, 14, 30)),
        ("3/25/2026 12:05 a.m.", datetime(2026, 3, 25, 0, 5)),
        ("25-03-2026", datetime(2026, 3, 25)),
        ("5/5/2026", datetime(2026, 5, 5)),
        ("05/5/2026", datetime(2026, 5, 5)),
        ("5-Mar-2026", DAY),
        ("5 March 2026 14:30", DAY.replace(hour=14, minute=30)),
        ("5 Sept 2026", datetime(2026, 9, 5)),
    ],
)  # fmt: skip
def test_a_time_that_can_mean_one_only_is_read(text, found):
    assert time_of(text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("3/5/2026", "may be day/month or month/day.*2026-11-29T14:30"),
        ("03-05-2026 14:30", "may be day/month"),
        ("5.3.26", "four digits"),
        ("5-Mar-26", "four digits"),
        ("46086", "counts from 1900 or from 1904"),
        ("46086,604", "counts from 1900 or from 1904"),
        ("########", "too narrow"),
        ("31.2.2026", "which is none"),
        ("25/25/2026", "which is none"),
        ("5 Mai 2026", "which is none"),
        ("5.3.2026 25:00", "which is none"),
        ("3/25/2026 13:05 PM", "which is none"),
        ("yesterday", "expected a time such as"),
        ("", "expected a time such as"),
        ("5.3.2026 14", "expected a time such as"),
    ],
)
def test_what_may_mean_two_times_or_none_is_refused_with_what_to_write(text, said):
    with pytest.raises(ValueError, match=said):
        time_of(text)


def test_the_other_rows_tell_whether_the_day_or_the_month_stands_first():
    assert order_of(["3/5/2026", "2026-03-05", "25/3/2026"]) == "day first"
    assert order_of(["3/5/2026", "3/25/2026 2:30 PM"]) == "month first"
    assert order_of(["3/5/2026", "4/4/2026", "5.3.2026"]) is None
    assert (time_of("3/5/2026", "day first").month, time_of("3/5/2026", "month first").month) == (5, 3)
    with pytest.raises(ValueError, match="'25/3/2026' has the day first and '3/25/2026' the month"):
        order_of(["25/3/2026", "3/25/2026"])


@given(st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)).map(lambda one: one.replace(microsecond=0)))
def test_a_time_is_read_back_from_every_form_or_refused_where_it_is_two(time):
    forms = ("{0:%Y-%m-%d %H:%M:%S}", "{0.day}.{0.month}.{0.year} {0:%H:%M:%S}", "{0:%d-%b-%Y} {0:%I:%M:%S %p}")
    assert {time_of(form.format(time)) for form in forms} == {time}
    for order, form in (("day first", "{0.day}/{0.month}/{0.year}"), ("month first", "{0.month}/{0.day}/{0.year}")):
        text = form.format(time)
        assert time_of(text, order).date() == time.date()
        assert may_be_two(text) == (time.day <= 12 and time.day != time.month)
        if not may_be_two(text):
            assert time_of(text).date() == time.date()
