"""Which images there are: of a folder or a table, one by one."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.errors import DataDefect, nearest
from cxr_tasks.images.files_below import image_files
from cxr_tasks.installation.storage.files import write_text
from cxr_tasks.sources.reading.defects import row_defect
from cxr_tasks.sources.reading.tables import read_rows

#: Column of a table that names the files, from the table's folder on where they are not absolute.
FILE_COLUMN = "file"
#: Images in one part: some minutes of work for one server, and a small share of it to be lost to a retry's start.
PART_SIZE = 2000


def listed_files(source: Path, on_problem: Callable[[Path, str], None]) -> Iterator[str]:
    """Paths as they are shown in the result: below a folder, or as a table gives them.

    Raises:
        DataDefect: A table cannot be read or has no column ``file``.
    """
    if source.is_dir():
        for path in image_files(source, on_problem):
            yield str(path.relative_to(source))
    elif source.suffix.lower() == ".csv":
        yield from _of_csv(source)
    else:
        yield from _of_parquet(source)


def opened_path(source: Path, file: str) -> Path:
    """Where the image listed as ``file`` lies; a table may name it by the path of another system."""
    path = (source if source.is_dir() else source.parent) / file
    if "\\" in file and not path.exists():
        return source.parent / file.replace("\\", "/")
    return path


def write_parts(files: Iterator[str], folder: Path, part_size: int = PART_SIZE) -> tuple[int, int]:
    """Write ``files`` as JSON lines into ``folder/00000.list``, ...; the numbers of images and of parts."""
    n_images = n_parts = 0
    while part := list(itertools.islice(files, part_size)):
        # ASCII with escapes holds every name that a file system gives, bytes that are no text included.
        text = "".join(f"{json.dumps(listed)}\n" for listed in part)
        write_text(list_path(folder, n_parts), text)
        n_images, n_parts = n_images + len(part), n_parts + 1
    return n_images, n_parts


def read_part(folder: Path, part: int) -> list[str]:
    """The images of one part."""
    with open(list_path(folder, part), encoding="ascii") as stream:
        return [json.loads(line) for line in stream]


def list_path(folder: Path, part: int) -> Path:
    return folder / f"{part:05}.list"


def _of_csv(path: Path) -> Iterator[str]:
    # Names of files need not be text.
    for line, row in read_rows(path, (FILE_COLUMN,), keeps_stray_bytes=True):
        if not row[FILE_COLUMN]:
            raise row_defect(path, line, f"expected the path of an image in column {FILE_COLUMN!r}, found nothing")
        yield row[FILE_COLUMN]


def _of_parquet(path: Path) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            _require_column(path, table.schema_arrow.names)
            number = itertools.count(1)
            for batch in table.iter_batches(batch_size=10_000, columns=[FILE_COLUMN]):
                for value in batch.column(0).to_pylist():
                    yield _named(path, next(number), value)
    except pa.ArrowInvalid as error:
        raise DataDefect(f"{path}: expected a Parquet table, found {error}") from None


def _require_column(path: Path, names: list[str]) -> None:
    if names.count(FILE_COLUMN) != 1:
        several = "one" if FILE_COLUMN in names else "a"
        guess = "" if FILE_COLUMN in names else nearest(FILE_COLUMN, names)
        raise DataDefect(
            f"{path}: expected {several} column {FILE_COLUMN!r}{guess}; found: {', '.join(names) or 'none'}"
        )


def _named(path: Path, row: int, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataDefect(f"{path}, row {row}: expected the path of an image in column {FILE_COLUMN!r}, found {value!r}")
    return os.fspath(value)
