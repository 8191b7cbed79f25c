from __future__ import annotations

import sys

import numpy as np
import pytest

from cxr_tasks.datasets.rows_on_disk import open_rows, unnamed_rows, write_rows


def rows(n=1000, side=64):
    return np.random.default_rng(1).integers(0, 256, (n, side, side, 1), dtype=np.uint8)


def blocks(array, size=300):
    return (array[start : start + size] for start in range(0, len(array), size))


def test_rows_are_those_that_were_written(tmp_path):
    expected = rows()
    write_rows(tmp_path / "rows.npy", expected.shape, np.uint8, blocks(expected))
    found = open_rows(tmp_path / "rows.npy")
    assert (found.shape, found.dtype, len(found)) == (expected.shape, np.uint8, 1000)
    chosen = np.array([999, 3, 3, 500])
    for taken in (chosen, slice(10, 20), 5, slice(None)):
        assert np.array_equal(found[taken], expected[taken])
        assert type(found[taken]) is np.ndarray
    assert np.array_equal(np.load(tmp_path / "rows.npy"), expected)  # a file as any other


def test_what_was_taken_outlives_the_file(tmp_path):
    expected = rows(10)
    write_rows(tmp_path / "rows.npy", expected.shape, np.uint8, blocks(expected))
    found = open_rows(tmp_path / "rows.npy")
    (tmp_path / "rows.npy").unlink()
    taken = found[2:5]
    del found
    assert np.array_equal(taken, expected[2:5])


def test_rows_without_a_name_are_those_that_were_written_and_no_file_is_ever_seen(tmp_path):
    expected, seen = rows(), []

    def watched():
        for block in blocks(expected):
            seen.extend(tmp_path.iterdir())
            yield block

    found = unnamed_rows(tmp_path / "made", expected.shape, np.uint8, watched())
    assert np.array_equal(found[np.array([999, 3])], expected[[999, 3]])
    assert np.array_equal(found[:], expected)
    assert set(seen) <= {tmp_path / "made"} and list((tmp_path / "made").iterdir()) == []


def test_rows_without_a_name_that_cannot_be_written_leave_nothing(tmp_path):
    with pytest.raises(ValueError, match="expected 999 rows, found 1000"):
        unnamed_rows(tmp_path, (999, 64, 64, 1), np.uint8, blocks(rows()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n", [999, 1001])
def test_another_number_of_rows_is_an_error(tmp_path, n):
    with pytest.raises(ValueError, match=f"expected {n} rows, found 1000"):
        write_rows(tmp_path / "rows.npy", (n, 64, 64, 1), np.uint8, blocks(rows()))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_neither_writing_nor_reading_takes_memory(tmp_path):
    side, n = 512, 400  # 100 MiB
    part = rows(20, side)
    before = resident_mib()
    write_rows(tmp_path / "rows.npy", (n, side, side, 1), np.uint8, (part for _ in range(n // len(part))))
    found = open_rows(tmp_path / "rows.npy")
    for start in range(0, n, 20):
        found[start : start + 20]
    assert resident_mib() - before < 30


def resident_mib() -> float:
    with open("/proc/self/status", encoding="utf-8") as stream:
        return next(int(line.split()[1]) / 1024 for line in stream if line.startswith("VmRSS"))
