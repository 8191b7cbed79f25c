"""A request: one thing that is to be done by one DAG run, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from cxr_tasks.contracts.errors import ConfigurationError

Kind = Literal["dataset", "training", "promotion", "release", "report"]
State = Literal["waiting", "started", "done", "failed"]

#: In the order in which one leads to the next.
KINDS: tuple[Kind, ...] = ("dataset", "training", "promotion", "release", "report")
STATES: tuple[State, ...] = ("waiting", "started", "done", "failed")
#: A request in one of these states has ended.
ENDED: tuple[State, ...] = ("done", "failed")
#: The largest number that a row of the list holds.
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request before it stands in the list."""

    kind: Kind
    key: str
    """What makes it the same request when it is told of again: the same key comes into the list once, for ever."""
    model: str = ""
    """Name in the registry; '' where it is about every model that has a champion."""
    version: int | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    """By what the version is known beside its number, which a registry made anew gives again: the run it came from, and
    the digest of its model file where whoever asks says it."""
    conf: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the DAG's form, and what one task hands to another DAG's."""
    source: str = ""
    """Who or what asked for it, in words."""
    parent: int | None = None
    """The request whose run led to this one."""

    def __post_init__(self) -> None:
        """``ConfigurationError`` for what no row of the list can hold: it would keep all others from being done."""
        if self.version is not None and version_number(self.version) != self.version:
            raise ConfigurationError(f"expected a version's number, found {self.version!r}")
        for text in (self.key, self.model, self.source):
            if storable(text) != text:
                raise ConfigurationError(f"expected text, found half of a character in {text!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Wanted):
    """A line of the list."""

    number: int
    state: State
    came_at: datetime
    dag_id: str
    run_id: str
    """The one run that does it; no other run has this id, so that it is started once however often that is tried."""
    started_at: datetime | None
    ended_at: datetime | None
    result: str
    """What the run's tasks said of it so far."""
    outcome: str
    """What came of it; '' until it has ended."""

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED

    @property
    def subject(self) -> str:
        """What it is about, in a few words: model and version, or the recipe."""
        about = str(self.conf.get("recipe") or "")
        named = f"{self.model} version {self.version}" if self.version is not None else self.model
        return " ".join(word for word in (named, about and f"({about})") if word) or "all models"


def version_number(value: Any) -> int | None:
    """The number of a version, of a number or of its digits; None for what can be none.

    >>> version_number("3"), version_number(True), version_number(10**30)
    (3, None, None)
    """
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        value = int(value)
    is_one = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST
    return value if is_one else None


def storable(text: str) -> str:
    """``text`` with an escape for each half of a character, which JSON can hold and no database."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def dag_of(kind: Kind, model: str) -> str:
    """The DAG that does requests of ``kind``; those of dataset and training have one for each family."""
    family = model.removeprefix("cxr_")
    return {
        "dataset": f"cxr_dataset_{family}",
        "training": f"cxr_train_{family}",
        "promotion": "cxr_promote",
        "release": "cxr_release",
        "report": "cxr_report",
    }[kind]


def kind_of(dag_id: str) -> tuple[Kind, str] | None:
    """The kind of request that a DAG does, and the model where the DAG's name tells it; None for other DAGs."""
    for kind in KINDS:
        if kind in ("promotion", "release", "report"):
            if dag_id == dag_of(kind, ""):
                return kind, ""
        elif dag_id.startswith(prefix := dag_of(kind, "")):
            return kind, f"cxr_{dag_id.removeprefix(prefix)}"
    return None
