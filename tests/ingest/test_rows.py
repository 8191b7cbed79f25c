from __future__ import annotations

import itertools

import pyarrow as pa
import pytest

from cxr_tasks.ingest import rows
from cxr_tasks.ingest.rows import n_rows, read_batches, read_even_batches, read_table, row_writer, write_rows

SCHEMA = pa.schema([("name", pa.string()), ("number", pa.int64())])


@pytest.fixture
def few_at_a_time(monkeypatch):
    monkeypatch.setattr(rows, "ROWS_AT_A_TIME", 4)


def numbered(first, last):
    return [{"name": f"n{number}", "number": number} for number in range(first, last)]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9])
def test_rows_come_back_in_order_and_in_batches(tmp_path, few_at_a_time, count):
    assert write_rows(tmp_path / "a.parquet", SCHEMA, iter(numbered(0, count))) == count
    assert n_rows(tmp_path / "a.parquet") == count
    batches = [batch.to_pylist() for batch in read_batches(tmp_path / "a.parquet")]
    assert [row for batch in batches for row in batch] == numbered(0, count)
    assert all(len(batch) <= 4 for batch in batches)
    assert read_table(tmp_path / "a.parquet", ["name"]).column_names == ["name"]


@pytest.mark.parametrize("cuts", [(0, 10), (0, 1, 10), (0, 3, 6, 10), (0, 5, 5, 10)])
def test_even_batches_do_not_show_where_files_end(tmp_path, few_at_a_time, cuts):
    files = []
    for first, last in itertools.pairwise(cuts):
        files.append(tmp_path / f"{len(files)}.parquet")
        write_rows(files[-1], SCHEMA, numbered(first, last))
    tables = list(read_even_batches(files))
    assert [len(table) for table in tables] == [4, 4, 2]
    assert pa.concat_tables(tables).to_pylist() == numbered(0, 10)


def test_a_file_that_is_not_finished_does_not_appear(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), row_writer(tmp_path / "a.parquet", SCHEMA) as writer:
        writer.add({"name": "x", "number": 1})
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []
