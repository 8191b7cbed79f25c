"""The form of the audit log: one JSON object a line, each with the digest of the line before it.

A line that was changed, removed, inserted or moved breaks the chain there, and the break is named. What a chain cannot
show is a cut tail, or a log written anew from some line on: for that the last digest is also kept elsewhere
(``audit_anchors``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

#: What a line can tell of. The last two the log writes of itself: a line that a killed process left unfinished, and
#: entries known to have been recorded that the log no longer held when the next one was written.
Kind = Literal[
    "test_read",
    "verdict",
    "registered",
    "model_pinned",
    "asked",
    "approved",
    "rejected",
    "not_approved",
    "promoted",
    "override",
    "release_started",
    "served",
    "release_failed",
    "release_refused",
    "rolled_back",
    "canary_started",
    "canary_ended",
    "outage_began",
    "outage_ended",
    "log_torn",
    "log_cut",
]
KINDS: tuple[str, ...] = get_args(Kind)
LOG_KINDS = ("log_torn", "log_cut")
_KIND = re.compile(r"[a-z_]{1,40}")

#: What the first entry follows.
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the log."""

    seq: int
    """From 1, without gaps."""
    at: str
    """UTC, ISO 8601."""
    kind: str
    model: str
    version: int | None
    """None where there is no version: a candidate that failed its gate is not registered."""
    who: str
    why: str
    fingerprint: str
    """Of the dataset the version was trained on; empty where the event has none."""
    detail: Mapping[str, Any]
    previous: str
    """Digest of the line before."""
    known_by: str = field(default="", kw_only=True)
    """How the name in ``who`` is known: a login, the user of a shell, a claim, a program; '' in lines written before
    this was kept."""
    digest: str = field(default="")
    """sha256 (hex) of this line without its digest."""

    def content(self) -> dict[str, Any]:
        """What the digest covers; lines of former versions have no ``known_by``."""
        return {key: value for key, value in asdict(self).items() if key != "digest" and (key != "known_by" or value)}

    def line(self) -> bytes:
        """The entry as it stands in the log, without the end of the line; any other spelling counts as changed."""
        return _encoded(self.content() | {"digest": self.digest})


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the log that nobody but its writer should have caused."""

    line: int
    text: str
    is_torn: bool = False
    """A killed process left it; nothing that was recorded is lost, and the next record takes note of it."""

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


def sealed(**values: Any) -> AuditEntry:
    """An entry with its digest. ``detail`` must be JSON without NaN or infinity, else ``ValueError``."""
    values["detail"] = json.loads(_encoded(dict(values["detail"])))
    unsealed = AuditEntry(**values)
    return AuditEntry(**unsealed.content(), digest=digest_of(unsealed))


def digest_of(entry: AuditEntry) -> str:
    return hashlib.sha256(_encoded(entry.content())).hexdigest()


def parsed(line: bytes) -> AuditEntry:
    """The entry in a line.

    Raises:
        ValueError: The line is not an entry, is spelt differently, or has another content than its digest says.
    """
    entry = _read(line)
    if digest_of(entry) != entry.digest:
        raise ValueError(
            f"seq {entry.seq} ({entry.kind} of {entry.model} version {entry.version}) was changed: its content gives "
            f"digest {digest_of(entry)[:12]}..., it bears {entry.digest[:12]}..."
        )
    if entry.line() != line:
        raise ValueError(f"seq {entry.seq} was changed: it is not spelt as the log spells it")
    return entry


def last_entry(lines: list[bytes]) -> AuditEntry | None:
    """The last line that can be read as an entry, changed or not: the one the next entry follows."""
    for line in reversed(lines):
        try:
            return _read(line)
        except ValueError:
            continue
    return None


def split_lines(content: bytes) -> tuple[list[bytes], bytes]:
    """The whole lines of a log, and what stands after the last end of a line: empty unless a write was cut off."""
    *lines, rest = content.split(b"\n")
    return lines, rest


def torn_detail(rest: bytes) -> dict[str, Any]:
    """What ``log_torn`` keeps of an unfinished line; it stays in the log where it is."""
    return {"n_bytes": len(rest), "sha256": hashlib.sha256(rest).hexdigest()}


def _encoded(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Lone surrogates (from a shell's arguments) have no UTF-8; as JSON escapes they come back as they were.
    return text.encode("utf-8", "backslashreplace")


def _read(line: bytes) -> AuditEntry:
    known = [field.name for field in fields(AuditEntry)]
    former = [key for key in known if key != "known_by"]
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or list(record) not in (known, former):
        raise ValueError(f"expected an entry with {', '.join(known)}, found {_shown(line)}")
    # A kind that is not known may be one of newer code, whose upgrade was taken back: the chain holds it all the same.
    is_kind = isinstance(record["kind"], str) and _KIND.fullmatch(record["kind"])
    if type(record["seq"]) is not int or not isinstance(record["detail"], dict) or not is_kind:
        raise ValueError(f"expected a kind, a number as seq and an object as detail, found {_shown(line)}")
    return AuditEntry(**record)


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    return repr(text if len(text) <= 80 else text[:77] + "...")
