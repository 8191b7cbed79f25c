"""Labels of served images, read from a table that people send.

A CSV file has a header and a row for each label::

    pixel_hash (32 hex digits), request_id (a UUID) or file (an image, read here and known by its pixels)
    finding    as in the code, such as pleural_effusion
    label      positive, negative or uncertain
    who        who said so: a reader, a department; not the patient
    when       ISO 8601 time of the label; with a zone, or taken as UTC
    patient    may be left out; kept as a keyed hash only, so that intervals count patients and a patient stays in the
               split in which they are
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.installation.patient_keys import patient_key, patient_secret
from cxr_tasks.installation.storage.files import sha256_file
from cxr_tasks.labels.store import Label
from cxr_tasks.sources.reading.tables import read_rows

COLUMNS = ("finding", "label", "who", "when")
KEYS = ("pixel_hash", "request_id", "file")
#: Of the keys of patients among labels.
SALT = "feedback"
_HASH, _UUID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: A label from before is a mistyped time.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
#: Patient as the table says, '' where it does not, and pixel hash -> split.
SplitOf = Callable[[str, str], str]


def read_labels(
    path: Path, findings: tuple[str, ...], now: datetime, split_of: SplitOf = lambda patient, pixel_hash: ""
) -> list[Label]:
    """The labels in a CSV file, all or none.

    Args:
        split_of: In which split a patient, as the table calls them, or a picture is already; '' where in none.

    Raises:
        DataDefect: A column is missing, a row names no image, an unknown finding, label or time, or two rows say of
            one image at one time what cannot both be; file and line are named.
    """
    found, digest, key = [], "", patient_secret()
    for line, row in read_rows(path, COLUMNS):
        digest = digest or sha256_file(path)
        where = f"{path}, line {line}"
        pixel_hash, request_id = _image(path, row, where)
        if row["finding"] not in findings:
            raise DataDefect(f"{where}: finding {row['finding']!r} is not the model's; its are {', '.join(findings)}")
        if row["label"] not in (LabelState.POSITIVE, LabelState.NEGATIVE, LabelState.UNCERTAIN):
            raise DataDefect(f"{where}: label {row['label']!r}: expected positive, negative or uncertain")
        if not row["who"]:
            raise DataDefect(f"{where}: expected who said so, found nothing")
        patient = row.get("patient", "")
        label = Label(
            pixel_hash=pixel_hash, request_id=request_id, finding=row["finding"], label=row["label"],
            who=row["who"][:100], when=_time(row["when"], where, now), received_at=now, file_sha256=digest,
            patient_key=patient_key(patient, salt=SALT, secret=key) if patient else "",
            split=split_of(patient, pixel_hash),
        )  # fmt: skip
        found.append((line, label))
    if not found:
        raise DataDefect(f"{path}: expected labels, found none")
    _refuse_contradictions(path, found)
    return [label for _, label in found]


def _image(path: Path, row: dict[str, str], where: str) -> tuple[str, str]:
    """The image's pixel hash, or the id of the request it was asked in."""
    given = {name: row[name] for name in KEYS if row.get(name)}
    if len(given) != 1:
        raise DataDefect(f"{where}: expected one of {', '.join(KEYS)}, found {', '.join(given) or 'none'}")
    ((name, value),) = given.items()
    if name == "file":
        from cxr_tasks.predictions.describe import image_facts

        file = path.parent / value
        try:
            (facts,) = image_facts([file.read_bytes()])
        except OSError as error:
            raise DataDefect(f"{where}: {file} cannot be read: {error.strerror}") from None
        if not facts.pixel_hash:
            raise DataDefect(f"{where}: {file} is no image that can be used")
        return facts.pixel_hash, ""
    value = value.lower()
    if not (_HASH if name == "pixel_hash" else _UUID).fullmatch(value):
        raise DataDefect(f"{where}: {name} {value[:40]!r}: expected {'32 hex digits' if name == KEYS[0] else 'a UUID'}")
    return (value, "") if name == "pixel_hash" else ("", value)


def _time(text: str, where: str, now: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DataDefect(f"{where}: when {text!r}: expected a time such as 2026-11-29T14:30") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if not EARLIEST <= found <= now:
        raise DataDefect(
            f"{where}: when {text}: expected a time since {EARLIEST.year} that has been, now it is "
            f"{now:%Y-%m-%dT%H:%M} UTC"
        )
    # Of one zone: a label that is sent again in another is the same label.
    return found.astimezone(UTC)


def _refuse_contradictions(path: Path, found: list[tuple[int, Label]]) -> None:
    """Two labels of one picture at one time: nothing says which of them is in force."""
    first: dict[tuple[str, str, str, datetime], tuple[int, Label]] = {}
    for line, one in found:
        key = (one.pixel_hash, one.request_id, one.finding, one.when)
        before, other = first.setdefault(key, (line, one))
        if other.label != one.label:
            raise DataDefect(
                f"{path}, line {line}: {one.finding} is {one.label} and on line {before} {other.label}, of the same "
                "image at the same time; keep one, or give the later one its time"
            )
