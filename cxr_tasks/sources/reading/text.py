"""The lines of a text file as people have it: UTF-8, or UTF-16 as spreadsheets save "Unicode text"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.sources.reading.defects import row_defect

_LONGEST_LINE = 1_000_000
# What surrogateescape makes of bytes that are not UTF-8; no valid text holds it.
_STRAY_BYTE = re.compile("[\udc80-\udcff]")
#: What UTF-16 or UTF-32 that cannot be decoded becomes.
_NO_CHARACTER = "\ufffd"
_MARKS = ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
#: First bytes of what is handed in as a table and is none -> what it is, and what to do.
_OTHER_FILES = {
    b"PK\x03\x04": "an Excel workbook or another archive; open it and save the sheet as 'CSV UTF-8'",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; open it and save the sheet as 'CSV UTF-8'",
    b"\x1f\x8b": "a file compressed by gzip; unpack it",
    b"PAR1": "a Parquet file; write the table as CSV",
    b"%PDF": "a PDF document; ask for the table as CSV",
}


def text_lines(path: Path, *, keeps_stray_bytes: bool = False) -> Iterator[str]:
    """Every line with its end.

    UTF-8 with or without a byte order mark; UTF-16 and UTF-32 by their mark, UTF-16 also by the zeros between its first
    letters.

    Args:
        keeps_stray_bytes: Bytes that are not UTF-8 come as ``os.fsdecode`` gives them: file names need not be text.

    Raises:
        DataDefect: The file cannot be read, is none of text, or has bytes that are no text; file and line are named.
    """
    try:
        if path.exists() and not path.is_file():
            # Opening a named pipe would wait for ever.
            raise DataDefect(f"{path}: expected a file, found a folder, pipe or device")
        encoding = _encoding_of(path)
        is_utf8 = encoding == "utf-8-sig"
        # The error for a stray byte is ours, with the line it stands on.
        errors = "surrogateescape" if is_utf8 else "replace"
        with open(path, encoding=encoding, errors=errors, newline="") as stream:
            line = 0
            while text := stream.readline(_LONGEST_LINE):
                line += 1
                _check_line(path, line, text, keeps_stray_bytes)
                if not is_utf8 and _NO_CHARACTER in text:
                    raise row_defect(path, line, f"found bytes that are not {encoding.upper()}; save the file as UTF-8")
                yield text
    except FileNotFoundError:
        raise DataDefect(f"{path}: expected a file, found none") from None
    except OSError as error:
        raise DataDefect(f"{path}: the file cannot be read: {error.strerror or error}") from None


def _encoding_of(path: Path) -> str:
    with open(path, "rb") as stream:
        first = stream.read(8)
    for mark, what in _OTHER_FILES.items():
        if first.startswith(mark):
            raise DataDefect(f"{path}: expected a table in CSV, found {what}")
    for mark, encoding in _MARKS:
        if first.startswith(mark):
            return encoding
    # Two letters of ASCII, each with the zero of its other half; a damaged file has other zeros.
    if len(first) >= 4:
        is_zero = [byte == 0 for byte in first[:4]]
        if is_zero == [False, True, False, True]:
            return "utf-16-le"
        if is_zero == [True, False, True, False]:
            return "utf-16-be"
    return "utf-8-sig"


def _check_line(path: Path, line: int, text: str, keeps_stray_bytes: bool) -> None:
    if len(text) >= _LONGEST_LINE:
        raise row_defect(path, line, f"the line has {_LONGEST_LINE} characters or more; this is not a table of text")
    stray = None if keeps_stray_bytes or text.isascii() else _STRAY_BYTE.search(text)
    if stray:
        byte = ord(stray[0]) - 0xDC00
        raise row_defect(
            path, line, f"byte 0x{byte:02X} is not UTF-8; save the file as UTF-8 (in a spreadsheet: 'CSV UTF-8')"
        )
    if "\0" in text:
        raise row_defect(path, line, "found a NUL byte; this is not text, or the file is damaged: fetch it again")
