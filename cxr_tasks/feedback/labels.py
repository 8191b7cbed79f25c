"""Labels of served images: read from a table that people send, kept for ever, the latest in force.

A CSV file has a header and a row for each label::

    pixel_hash (32 hex digits), request_id (a UUID) or file (an image, read here and known by its pixels)
    finding    as in the code, such as pleural_effusion
    label      positive, negative or uncertain
    who        who said so: a reader, a department; not the patient
    when       ISO 8601 time of the label; with a zone, or taken as UTC
    patient    may be left out; kept as a keyed hash only, so that intervals count patients

Nothing is changed or removed: a corrected label is a further row, and the one with the latest ``when`` is in force.
"""

from __future__ import annotations

import logging
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.installation.patient_keys import patient_key, patient_secret
from cxr_tasks.installation.storage.files import replaced_file, sha256_file
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.sources.reading.tables import read_rows

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

COLUMNS = ("finding", "label", "who", "when")
KEYS = ("pixel_hash", "request_id", "file")
_HASH, _UUID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SALT = "feedback"
#: A label from before is a mistyped time.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One label as it is kept."""

    pixel_hash: str
    request_id: str
    finding: str
    label: str
    who: str
    when: datetime
    patient_key: str
    received_at: datetime
    file_sha256: str
    """Of the table it came in."""


def feedback_root() -> Path:
    """Labels, as ``<model>/<time>.parquet``: for the owner only."""
    return home() / "feedback"


def read_labels(path: Path, findings: tuple[str, ...], now: datetime) -> list[Label]:
    """The labels in a CSV file, all or none.

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
            patient_key=patient_key(patient, salt=_SALT, secret=key) if patient else "",
        )  # fmt: skip
        found.append((line, label))
    if not found:
        raise DataDefect(f"{path}: expected labels, found none")
    _refuse_contradictions(path, found)
    return [label for _, label in found]


def keep_labels(model: str, labels: list[Label]) -> int:
    """Add ``labels`` to those of the model; how many are new. A table that is sent twice adds nothing."""
    import pandas as pd

    folder = feedback_root() / model
    with file_lock(folder / ".lock", what=f"labels of {model}", purpose="adding some", wait_s=120):
        present = all_labels(model)
        table = pd.DataFrame([asdict(label) for label in labels])
        said = ["pixel_hash", "request_id", "finding", "label", "who", "when"]
        if len(present):
            known = set(map(tuple, present[said].to_numpy()))
            table = table[[tuple(row) not in known for row in table[said].to_numpy()]]
        table = table.drop_duplicates(said)
        if len(table):
            folder.chmod(0o700)
            # Two tables may come at the same moment; neither takes the other's place.
            name = f"{labels[0].received_at:%Y%m%dT%H%M%S.%f}-{secrets.token_hex(4)}.parquet"
            with replaced_file(folder / name) as aside:
                table.to_parquet(aside, index=False, compression="zstd")
    return len(table)


def all_labels(model: str) -> pd.DataFrame:
    """Every label that ever came, in the order of ``when``; fields as ``Label``."""
    import pandas as pd

    tables = [pd.read_parquet(path) for path in sorted((feedback_root() / model).glob("[!.]*.parquet"))]
    if not tables:
        return pd.DataFrame(columns=list(Label.__slots__))
    return pd.concat(tables, ignore_index=True).sort_values(["when", "received_at"], kind="stable", ignore_index=True)


def labels_in_force(labels: pd.DataFrame) -> pd.DataFrame:
    """The latest label of each image and finding; ``labels`` as ``all_labels`` gives them, with column ``image``."""
    return labels.drop_duplicates(["image", "finding"], keep="last")


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
