"""Inspections and refusals as rows of the ledger and back; what worker processes of an ingest run."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cxr_tasks.ingest.inspection.inspect import INSPECTION_VERSION, HeaderFacts, Inspection, Opened, open_files
from cxr_tasks.ingest.ledger import Entry
from cxr_tasks.sources.base import Refusal

VERSION = str(INSPECTION_VERSION)
_FIELDS = tuple(field.name for field in dataclasses.fields(Inspection) if field.name != "header")
_values_of = operator.attrgetter(*_FIELDS)
_FACTS = tuple(field.name for field in dataclasses.fields(HeaderFacts))
_REFUSED = ("reason", "detail", "action")


def entries_of(work: list[tuple[str, str, str]]) -> list[Entry]:
    """An entry for every (root, image_id, expected sha256 or ''); ``found`` is '' where the bytes are as expected."""
    return [entry_of(file) for file in open_files(work)]


def entry_of(opened: Opened) -> Entry:
    """What came of one file, as a row of the ledger."""
    size, mtime = (None, None) if opened.state is None else (opened.state.size_bytes, opened.state.mtime_ns)
    result = opened.found
    version, text = VERSION, ""
    if isinstance(result, Refusal):
        text = json.dumps({"refusal": [getattr(result, name) for name in _REFUSED]})
    elif result is not None:
        held = _values_of(result)
        header = result.header
        if header is not None:
            version = keyed_version()
        facts = None if header is None else [getattr(header, name) for name in _FACTS]
        text = json.dumps({"held": held, "header": facts})
    return Entry(opened.image_id, size, mtime, opened.file_sha256, version, text)


@dataclass(slots=True)
class Found:
    """What came of many files."""

    places: list[int]
    """Which of them are usable."""
    held: dict[str, tuple[Any, ...]]
    """Of the usable ones: the values of each field of ``Inspection`` but the header."""
    headers: dict[int, HeaderFacts]
    """By number among the usable ones; those of DICOM files."""
    refusals: list[Refusal]


def read_found(entries: Sequence[Entry]) -> Found:
    """What ``entries`` say came of their files, in columns."""
    # As one text: the parser takes far less time than its calls would.
    parsed = json.loads(f"[{','.join(entry.found for entry in entries)}]")
    usable = [(place, told["held"], told["header"]) for place, told in enumerate(parsed) if "held" in told]
    columns = zip(*(held for _, held, _ in usable), strict=True) if usable else ((),) * len(_FIELDS)
    return Found(
        places=[place for place, *_ in usable],
        held=dict(zip(_FIELDS, columns, strict=True)),
        headers={
            number: HeaderFacts(**dict(zip(_FACTS, facts, strict=True)))
            for number, (_, _, facts) in enumerate(usable)
            if facts is not None
        },
        refusals=[
            Refusal(image_id=entry.image_id, **dict(zip(_REFUSED, told["refusal"], strict=True)))
            for entry, told in zip(entries, parsed, strict=True)
            if "refusal" in told
        ]
        if len(usable) < len(parsed)
        else [],
    )


def keyed_version() -> str:
    """Version of inspections that hold patient hashes: other ones under another secret."""
    from cxr_tasks.installation.patient_keys import patient_secret

    return f"{VERSION}/{hmac.new(patient_secret(), b'ingest ledger', hashlib.sha256).hexdigest()[:16]}"
