"""Inspections and refusals as rows of the ledger and back; what worker processes of an ingest run."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import operator

from cxr_tasks.ingest.inspect import INSPECTION_VERSION, HeaderFacts, Inspection, Opened, open_files
from cxr_tasks.ingest.ledger import Entry
from cxr_tasks.sources.base import Refusal

VERSION = str(INSPECTION_VERSION)
_FIELDS = tuple(one.name for one in dataclasses.fields(Inspection) if one.name != "header")
_values_of = operator.attrgetter(*_FIELDS)
_FACTS = tuple(one.name for one in dataclasses.fields(HeaderFacts))


def entries_of(work: list[tuple[str, str, str]]) -> list[Entry]:
    """An entry for every (root, image_id, expected sha256 or ''); ``found`` is '' where the bytes are as expected."""
    return [_entry(one) for one in open_files(work)]


def _entry(opened: Opened) -> Entry:
    size, mtime = (None, None) if opened.state is None else (opened.state.size_bytes, opened.state.mtime_ns)
    found = opened.found
    version, text = VERSION, ""
    if isinstance(found, Refusal):
        text = json.dumps({"refusal": [found.reason, found.detail, found.action]})
    elif found is not None:
        held = _values_of(found)
        header = found.header
        if header is not None:
            version = keyed_version()
        facts = None if header is None else [getattr(header, name) for name in _FACTS]
        text = json.dumps({"held": held, "header": facts})
    return Entry(opened.image_id, size, mtime, opened.file_sha256, version, text)


def read_found(entry: Entry) -> Inspection | Refusal:
    """What ``entry`` says came of its file."""
    found = json.loads(entry.found)
    if "refusal" in found:
        reason, detail, action = found["refusal"]
        return Refusal(image_id=entry.image_id, reason=reason, detail=detail, action=action)
    facts = found["header"]
    header = None if facts is None else HeaderFacts(**dict(zip(_FACTS, facts, strict=True)))
    return Inspection(**dict(zip(_FIELDS, found["held"], strict=True)), header=header)


def keyed_version() -> str:
    """Version of inspections that hold patient hashes: other ones under another secret."""
    from cxr_tasks.prepare.keys import patient_secret

    return f"{VERSION}/{hmac.new(patient_secret(), b'ingest ledger', hashlib.sha256).hexdigest()[:16]}"
