"""Parquet files written and read a few thousand rows at a time, so that memory does not grow with their length."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_tasks.installation.storage.files import replaced_file

#: Rows of one row group. Fixed, as the bytes of a file follow from it.
ROWS_AT_A_TIME = 2048


@contextlib.contextmanager
def table_writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Takes tables that become one row group each of the Parquet file ``path``; it appears once the block ends well.

    The same tables give the same bytes.
    """
    with replaced_file(path) as aside, pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        yield lambda table: writer.write_table(table, row_group_size=len(table))


class RowWriter:
    """Gathers rows and writes them a group at a time."""

    def __init__(self, write: Callable[[pa.Table], None], schema: pa.Schema):
        self._write, self._schema = write, schema
        self._waiting: list[Mapping[str, Any]] = []
        self.n_rows = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row: a value for each column of the schema."""
        self._waiting.append(row)
        self.n_rows += 1
        if len(self._waiting) == ROWS_AT_A_TIME:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if self._waiting:
            columns = {name: [row[name] for row in self._waiting] for name in self._schema.names}
            self._write(pa.table(columns, self._schema))
            self._waiting = []


@contextlib.contextmanager
def row_writer(path: Path, schema: pa.Schema) -> Iterator[RowWriter]:
    """Takes the rows of the Parquet file ``path``, which appears whole once the block ends well."""
    with table_writer(path, schema) as write:
        rows = RowWriter(write, schema)
        yield rows
        rows.flush()


def write_rows(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write ``rows`` to the Parquet file ``path``, whole or not at all; how many there were."""
    with row_writer(path, schema) as writer:
        for row in rows:
            writer.add(row)
    return writer.n_rows


def n_rows(path: str | Path) -> int:
    """How many rows a Parquet file has; reads its foot only."""
    return pq.read_metadata(path).num_rows


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The columns of a Parquet file, whole."""
    with pq.ParquetFile(path) as file:
        return file.read(columns=None if columns is None else list(columns))


def read_batches(
    path: str | Path, columns: Sequence[str] | None = None, *, coded: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, ``ROWS_AT_A_TIME`` at most in each batch, in order.

    Text of the columns ``coded``, which hold few different words, comes as numbers into a dictionary. Read in one
    thread, as each has memory of its own that it does not give back.
    """
    with pq.ParquetFile(path, read_dictionary=list(coded) or None) as file:
        chosen = None if columns is None else list(columns)
        yield from file.iter_batches(ROWS_AT_A_TIME, columns=chosen, use_threads=False)


def read_even_batches(paths: Iterable[str | Path]) -> Iterator[pa.Table]:
    """The rows of several files, one file after the other, ``ROWS_AT_A_TIME`` in each table but the last.

    So what is written of them does not show where one file ended.
    """
    waiting: list[pa.RecordBatch] = []
    n_waiting = 0
    for path in paths:
        for batch in read_batches(path):
            waiting.append(batch)
            n_waiting += len(batch)
            while n_waiting >= ROWS_AT_A_TIME:
                table = pa.Table.from_batches(waiting)
                yield table.slice(0, ROWS_AT_A_TIME).combine_chunks()
                waiting = table.slice(ROWS_AT_A_TIME).to_batches()
                n_waiting -= ROWS_AT_A_TIME
    if n_waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()
