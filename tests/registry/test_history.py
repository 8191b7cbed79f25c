from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.registry.audit.chain import GENESIS, sealed
from cxr_tasks.registry.history import parsed_time, served_at, spells


def made_entries(*events):
    """Entries of ``(kind, version)``, one an hour from 10:00 on."""
    return [
        sealed(
            seq=number,
            at=f"2026-11-26T{9 + number:02d}:00:00.000+00:00",
            kind=kind,
            model="cxr_binary",
            version=version,
            who="airflow",
            why="",
            fingerprint="",
            detail={},
            previous=GENESIS,
        )
        for number, (kind, version) in enumerate(events, start=1)
    ]


PAST = made_entries(
    ("served", 1),          # 10:00
    ("promoted", 2),        # 11:00: a wish, not yet what serves
    ("release_failed", 2),  # 12:00
    ("served", 3),          # 13:00
    ("canary_started", 4),  # 14:00: beside it
    ("served", 3),          # 15:00: the same again
    ("rolled_back", 1),     # 16:00
)  # fmt: skip


@pytest.mark.parametrize(
    ("time", "version"),
    [
        ("2026-11-26T09:59:59", None),
        ("2026-11-26T10:00:00", 1),   # from the very moment on
        ("2026-11-26T12:30", 1),
        ("2026-11-26T13:30", 3),
        ("2026-11-26T14:30+01:00", 3),
        ("2026-11-26T15:30", 3),
        ("2026-11-26T16:00", 1),
        ("2027-01-01", 1),
    ],
)  # fmt: skip
def test_a_version_serves_from_its_entry_to_the_next(time, version):
    found = served_at(PAST, parsed_time(time))
    assert (found and found.version) == version


def test_spells_follow_each_other_without_gaps():
    found = spells(PAST)
    assert [(one.version, one.since.hour, one.until and one.until.hour, one.seq) for one in found] == [
        (1, 10, 13, 1),
        (3, 13, 16, 4),
        (1, 16, None, 7),
    ]
    assert spells([]) == []


def test_a_time_without_a_zone_is_utc_and_anything_else_is_named():
    assert parsed_time("2026-11-26") == datetime(2026, 11, 26, tzinfo=UTC)
    with pytest.raises(ConfigurationError, match="expected a time such as .* found 'yesterday'"):
        parsed_time("yesterday")
