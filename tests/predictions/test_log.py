"""The prediction log on disk: whole files, for the owner only, within bounds."""

from __future__ import annotations

import stat
from datetime import date, timedelta

import pandas as pd
import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.predictions import log as prediction_log
from cxr_tasks.predictions.log import LogBounds, append_rows, bounds_of, model_folder, read_log, remove_old
from tests.predictions.served_rows import AT, make_row


def test_rows_come_back_by_day_and_only_the_owner_reads_them(cxr_home):
    append_rows([make_row(image=1), make_row(time=AT + timedelta(days=1)), make_row(model="cxr/../odd")])
    assert len(read_log("cxr_binary", AT.date(), AT.date())) == 1
    both = read_log("cxr_binary", AT.date(), AT.date() + timedelta(days=1))
    assert both["time"].is_monotonic_increasing and len(both) == 2
    files = list((cxr_home / "predictions").rglob("*.parquet"))
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(files[0].parent.stat().st_mode) == 0o700
    # A name that would lead elsewhere stays below the log.
    assert sorted(one.name for one in (cxr_home / "predictions").iterdir()) == ["cxr%2F..%2Fodd", "cxr_binary"]


def test_many_small_files_become_few_and_no_row_is_lost_or_doubled(cxr_home):
    n = prediction_log.MOST_SMALL + 5
    rows = [make_row() for _ in range(n)]
    for row in rows:
        append_rows([row])
    day = model_folder("cxr_binary") / AT.date().isoformat()
    assert len(list(day.glob("*.parquet"))) < 10
    # Killed between putting together and removing: a file is there twice.
    append_rows(rows[:3])
    found = read_log("cxr_binary", AT.date(), AT.date())
    assert sorted(found["request_id"]) == sorted(row["request_id"] for row in rows)


def test_a_broken_file_is_named_and_the_others_are_read(cxr_home, caplog):
    append_rows([make_row()])
    day = model_folder("cxr_binary") / AT.date().isoformat()
    (day / "broken.parquet").write_bytes(b"PAR1 no table")
    pd.DataFrame({"mean": [0.5]}).to_parquet(day / "other.parquet")
    assert len(read_log("cxr_binary", AT.date(), AT.date())) == 1
    assert "broken.parquet" in caplog.text and "other.parquet is no file of the log" in caplog.text


def test_a_client_that_gives_all_its_requests_one_id_loses_no_row(cxr_home):
    rows = [make_row(request_id="0d9f1c9e-6a0c-4f0e-9f5e-1d1c8f6f7a11", time=AT + timedelta(seconds=n)) for n in (0, 9)]
    append_rows(rows)
    assert len(read_log("cxr_binary", AT.date(), AT.date())) == 2


def test_what_a_killed_writer_left_half_written_is_neither_read_nor_put_together(cxr_home, caplog):
    append_rows([make_row()])
    day = model_folder("cxr_binary") / AT.date().isoformat()
    (day / ".120000.000000-7.parquet.abcd.parquet").write_bytes(b"PAR1 hal")
    for _ in range(prediction_log.MOST_SMALL):
        append_rows([make_row()])
    assert len(read_log("cxr_binary", AT.date(), AT.date())) == 1 + prediction_log.MOST_SMALL
    assert not caplog.text


def test_files_that_are_put_together_while_a_day_is_read_are_read_where_they_went(cxr_home, monkeypatch):
    rows = [make_row() for _ in range(prediction_log.MOST_SMALL + 1)]
    for row in rows[:-1]:
        append_rows([row])
    read = pd.read_parquet

    def read_late(path):
        monkeypatch.setattr(pd, "read_parquet", read)
        append_rows(rows[-1:])  # the server's writer, between the reader's listing and its reading
        return read(path)

    monkeypatch.setattr(pd, "read_parquet", read_late)
    assert len(read_log("cxr_binary", AT.date(), AT.date())) == len(rows)


def test_what_is_old_or_too_much_goes_the_oldest_first_and_never_today(cxr_home):
    today = date(2026, 11, 20)
    for back in range(6):
        append_rows([make_row(time=AT - timedelta(days=back))])
    size = next(model_folder("cxr_binary").rglob("*.parquet")).stat().st_size
    assert [one.name for one in remove_old("cxr_binary", LogBounds(days=4, max_bytes=1 << 30), today)] == ["2026-11-15"]
    removed = remove_old("cxr_binary", LogBounds(days=4, max_bytes=3 * size + size // 2), today)
    assert [one.name for one in removed] == ["2026-11-16", "2026-11-17"]
    assert [one.name for one in remove_old("cxr_binary", LogBounds(days=4, max_bytes=1), today)][-1] == "2026-11-19"
    assert [one.name for one in model_folder("cxr_binary").iterdir()] == ["2026-11-20"]


def test_a_clock_that_is_far_ahead_for_some_days_does_not_empty_the_log(cxr_home):
    append_rows([make_row(time=AT - timedelta(days=n)) for n in (1, 2, 450)])
    bounds, ahead = LogBounds(), AT + timedelta(days=3650)
    for n in range(5):
        append_rows([make_row(time=ahead + timedelta(days=n))])
        removed = remove_old("cxr_binary", bounds, (ahead + timedelta(days=n)).date())
        # The one that is old by any clock has had seven later days by the fifth.
        assert [one.name for one in removed] == ([f"{AT - timedelta(days=450):%Y-%m-%d}"] if n == 4 else [])
    assert len(read_log("cxr_binary", AT.date() - timedelta(days=9), AT.date())) == 2


@pytest.mark.parametrize(
    "environment",
    [{"CXR_PREDICTION_LOG": "maybe"}, {"CXR_PREDICTION_LOG_DAYS": "-1"}, {"CXR_PREDICTION_LOG_MIB": "0"}],
)
def test_settings_that_mean_nothing_are_refused(environment):
    with pytest.raises(ConfigurationError, match=next(iter(environment))):
        bounds_of(environment)


def test_it_can_be_turned_off():
    assert bounds_of({"CXR_PREDICTION_LOG": "off"}) is None
    assert bounds_of({}) == LogBounds()
