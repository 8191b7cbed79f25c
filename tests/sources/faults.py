"""What the error about a faulty table has to name, whatever the fault."""

from __future__ import annotations

import re
from pathlib import Path

#: Errors that are about a table as a whole, and so name no line of it.
WHOLE_TABLE = (
    "expected a table in CSV",
    "expected a header line and rows, found an empty file",
    r"expected a row per (image|file), found a header and no rows",
    r"\d+ of \d+ listed (images|files) are absent .*",
)


def assert_names_file_and_line(error: Exception, table: Path) -> None:
    """The error begins with ``table`` and a line that it has; with the file alone where it is of ``WHOLE_TABLE``."""
    told = str(error)
    file = re.escape(str(table))
    if re.match(rf"{file}: ({'|'.join(WHOLE_TABLE)})", told):
        return
    match = re.match(rf"{file}, line (\d+): \S", told)
    assert match, told
    content = table.read_bytes()
    assert 1 <= int(match[1]) <= content.count(b"\n") + content.count(b"\r") + 1, told
