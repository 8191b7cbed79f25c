"""Arrays of very many rows in a file: written a block at a time, read a few rows at a time, never held in memory."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from cxr_tasks.installation.storage.changes import output_file

# Where it is not there (Windows), pages that were read count as this process' own until memory gets short.
_LET_GO = getattr(mmap, "MADV_DONTNEED", None)


class RowsOnDisk(np.memmap):
    """A mapped array; rows taken out of it are copies, and their pages are let go at once.

    Else every page that was ever read would count as memory of this process: after an epoch, all of them. They stay
    in the system's cache of files, so that reading them again costs next to nothing.
    """

    def __getitem__(self, rows: Any) -> Any:
        taken = np.array(super().__getitem__(rows))
        if _LET_GO is not None:
            self._mmap.madvise(_LET_GO)  # type: ignore[attr-defined]
        return taken


def open_rows(path: Path) -> RowsOnDisk:
    """The array in the ``.npy`` file ``path``; it can be read as long as it is held, even once the file is removed."""
    return np.load(path, mmap_mode="r", allow_pickle=False).view(RowsOnDisk)


def unnamed_rows(
    folder: Path, shape: tuple[int, ...], dtype: type[np.generic], blocks: Iterable[np.ndarray]
) -> RowsOnDisk:
    """``blocks``, which together have ``shape``, mapped from a file in ``folder`` that has no name.

    The system gives its space back when the array is let go, or when this process ends in whatever way: a task that is
    killed leaves nothing behind, and one that is run again has nothing to clear away.

    Raises:
        ValueError: The blocks have another number of rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as stream:
        offset = _write(stream, f"a file without a name in {folder}", shape, dtype, blocks)
        return np.memmap(stream, dtype, "r", offset, shape).view(RowsOnDisk)


def write_rows(path: Path, shape: tuple[int, ...], dtype: type[np.generic], blocks: Iterable[np.ndarray]) -> None:
    """Write ``blocks``, which together have ``shape``, to the ``.npy`` file ``path``.

    Raises:
        ValueError: The blocks have another number of rows.
    """
    with output_file(path) as stream:
        _write(stream, str(path), shape, dtype, blocks)


def _write(
    stream: IO[bytes], where: str, shape: tuple[int, ...], dtype: type[np.generic], blocks: Iterable[np.ndarray]
) -> int:
    """Write a header of ``.npy`` and ``blocks``; the place, in bytes, of the first row.

    With plain writes: pages of a mapping that is written to count as this process' own.
    """
    description = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, description)  # type: ignore[arg-type]
    start, n_rows = stream.tell(), 0
    for block in blocks:
        stream.write(np.ascontiguousarray(block, dtype).data)
        n_rows += len(block)
    stream.flush()
    if n_rows != shape[0]:
        raise ValueError(f"{where}: expected {shape[0]} rows, found {n_rows}")
    return start
