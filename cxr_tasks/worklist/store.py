"""The durable list of requests: the one door to where it is kept (``kept.py``).

A request comes into the list once, by its key, and ends once, with an outcome. Each call is one transaction, so a
process that is killed leaves the list as it was before or after.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxr_tasks.worklist.kept import Rows, transaction, worklist_path
from cxr_tasks.worklist.request import ENDED, Kind, Request, State, Wanted, dag_of

__all__ = ["Worklist", "worklist_path"]


class Worklist:
    """The list of requests; cheap to make, each call opens and closes the file, or a connection."""

    def __init__(self, path: Path | None = None):
        self._path = path

    def add(self, wanted: Wanted, *, event: str = "", unless_open: bool = False) -> tuple[Request, bool]:
        """The request for what is wanted, and whether it is new; one of the same key that stands there stays as it is.

        Args:
            event: An Asset event that told of it, which counts as seen from now on.
            unless_open: A request of the same kind, model, version and identity that has not ended is taken for what is
                wanted, and none is added.
        """
        with self._transaction() as rows:
            known = rows.execute("SELECT * FROM requests WHERE key = ?", (wanted.key,)).fetchone()
            if known is None and unless_open:
                known = self._open_twin(rows, wanted)
            number = _insert(rows, wanted) if known is None else known["number"]
            if event:
                rows.execute(
                    "INSERT INTO events (event, request) VALUES (?, ?) ON CONFLICT DO NOTHING", (event, number)
                )
                if known is not None:
                    _note(rows, number, f"told of again by {event}")
            return _request(_row(rows, number)), known is None

    def add_run(self, wanted: Wanted, dag_id: str, run_id: str, started_at: datetime) -> Request:
        """The request that a run does which a person or a clock has started; the same for each call."""
        with self._transaction() as rows:
            known = rows.execute("SELECT * FROM requests WHERE dag_id = ? AND run_id = ?", (dag_id, run_id)).fetchone()
            if known is not None:
                return _request(known)
            number = _insert(rows, wanted, dag_id, run_id)
            rows.execute(
                "UPDATE requests SET state = 'started', started_at = ? WHERE number = ?",
                (_text(started_at), number),
            )
            return _request(_row(rows, number))

    def unseen(self, events: Iterable[str]) -> set[str]:
        """Those of ``events`` that the list has not taken in."""
        asked = list(events)
        with self._transaction() as rows:
            known = {
                row["event"]
                for start in range(0, len(asked), 500)
                for row in rows.execute(
                    f"SELECT event FROM events WHERE event IN ({_places(asked[start : start + 500])})",  # noqa: S608
                    asked[start : start + 500],
                )
            }
        return set(asked) - known

    def start(self, number: int) -> None:
        """Note that the run of a request exists."""
        with self._transaction() as rows:
            rows.execute(
                "UPDATE requests SET state = 'started', started_at = ? WHERE number = ? AND state = 'waiting'",
                (_text(_now()), number),
            )

    def tell(self, dag_id: str, run_id: str, result: str) -> None:
        """Keep what a task of a run says of its request; a task that is tried again says it anew."""
        with self._transaction() as rows:
            rows.execute("UPDATE requests SET result = ? WHERE dag_id = ? AND run_id = ?", (result, dag_id, run_id))

    def end(self, number: int, state: State, outcome: str) -> bool:
        """End a request; False, and nothing changes, where it has ended before."""
        with self._transaction() as rows:
            changed = rows.execute(
                f"UPDATE requests SET state = ?, outcome = ?, ended_at = ? WHERE number = ? "  # noqa: S608
                f"AND state NOT IN ({_places(ENDED)})",
                (state, outcome, _text(_now()), number, *ENDED),
            )
            if changed.rowcount:
                _note(rows, number, f"{state}: {outcome}")
            return bool(changed.rowcount)

    def reopen(self, number: int, because: str) -> None:
        """Let a request that has ended go on, as its run was cleared and runs again; its one outcome is replaced."""
        with self._transaction() as rows:
            rows.execute(
                f"UPDATE requests SET state = 'started', outcome = '', ended_at = NULL WHERE number = ? "  # noqa: S608
                f"AND state IN ({_places(ENDED)})",
                (number, *ENDED),
            )
            _note(rows, number, because)

    def find(self, number: int) -> Request | None:
        return next(iter(self._select("number = ?", (number,))), None)

    def of_run(self, dag_id: str, run_id: str) -> Request | None:
        """The request that a run does."""
        return next(iter(self._select("dag_id = ? AND run_id = ?", (dag_id, run_id))), None)

    def of_run_id(self, run_id: str) -> list[Request]:
        """The requests of all runs with this id; ids that Airflow makes up may come in several DAGs."""
        return self._select("run_id = ?", (run_id,))

    def following(self, number: int) -> list[Request]:
        """What a request's run led to, in the order in which it came."""
        return self._select("parent = ?", (number,))

    def in_state(self, *states: State) -> list[Request]:
        """Requests in one of ``states``, in the order in which they came."""
        return self._select(f"state IN ({_places(states)})", states)

    def listing(
        self,
        *,
        kind: Kind | None = None,
        model: str | None = None,
        version: int | None = None,
        states: Sequence[State] = (),
        since: datetime | None = None,
        limit: int = 100,
    ) -> list[Request]:
        """The newest ``limit`` requests that fit, oldest first."""
        conditions: list[tuple[str, Sequence[Any]]] = [("TRUE", ())]
        for name, value in (("kind", kind), ("model", model), ("version", version)):
            if value is not None:
                conditions.append((f"{name} = ?", (value,)))
        if states:
            conditions.append((f"state IN ({_places(states)})", states))
        if since is not None:
            conditions.append(("came_at >= ?", (_text(since),)))
        where = " AND ".join(condition for condition, _ in conditions)
        values = [value for _, given in conditions for value in given]
        return self._select(where, values, "ORDER BY number DESC LIMIT ?", (limit,))[::-1]

    def n_of(self, kind: Kind, model: str, version: int | None) -> int:
        """How many requests of a kind about a version there have been."""
        with self._transaction() as rows:
            return rows.execute(
                "SELECT COUNT(*) AS n FROM requests WHERE kind = ? AND model = ? AND version IS NOT DISTINCT FROM ?",
                (kind, model, version),
            ).fetchone()["n"]

    def history(self, number: int) -> list[tuple[str, str]]:
        """Time and words of all that happened to a request beside its start."""
        with self._transaction() as rows:
            events = rows.execute("SELECT at, what FROM history WHERE request = ? ORDER BY rowid", (number,))
            return [(event["at"], event["what"]) for event in events]

    def mark(self, name: str, first: datetime) -> datetime:
        """The moment kept under ``name``; ``first`` where none is kept yet, which is kept then."""
        with self._transaction() as rows:
            rows.execute("INSERT INTO marks (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, _text(first)))
            return datetime.fromisoformat(
                rows.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()["value"]
            )

    def move_mark(self, name: str, moment: datetime) -> None:
        with self._transaction() as rows:
            rows.execute(
                "INSERT INTO marks (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, _text(moment)),
            )

    def _open_twin(self, rows: Rows, wanted: Wanted) -> Any:
        for row in rows.execute(
            f"SELECT * FROM requests WHERE kind = ? AND model = ? AND version IS NOT DISTINCT FROM ? "  # noqa: S608
            f"AND state NOT IN ({_places(ENDED)}) ORDER BY number",
            (wanted.kind, wanted.model, wanted.version, *ENDED),
        ):
            known = json.loads(row["identity"])
            # Who tells of a version by its number alone means the one that is there.
            if all(known[name] == value for name, value in wanted.identity.items() if name in known):
                return row
        return None

    def _select(self, where: str, values: Sequence[Any], tail: str = "ORDER BY number", more: Sequence[Any] = ()):
        with self._transaction() as rows:
            rows_of_requests = rows.execute(f"SELECT * FROM requests WHERE {where} {tail}", [*values, *more])  # noqa: S608
            return [_request(row) for row in rows_of_requests]

    def _transaction(self) -> contextlib.AbstractContextManager[Rows]:
        return transaction(self._path)


def _insert(rows: Rows, wanted: Wanted, dag_id: str = "", run_id: str = "") -> int:
    came_at = _now()
    number: int = rows.execute(
        "INSERT INTO requests (key, kind, model, version, identity, conf, source, parent, state, came_at, dag_id, "
        "run_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?, ?) RETURNING number",
        (
            wanted.key,
            wanted.kind,
            wanted.model,
            wanted.version,
            json.dumps(dict(wanted.identity), sort_keys=True),
            json.dumps(dict(wanted.conf)),
            wanted.source,
            wanted.parent,
            _text(came_at),
            dag_id or dag_of(wanted.kind, wanted.model),
            run_id,
        ),
    ).fetchone()["number"]
    if not run_id:
        # With the moment: a list that was made anew counts from 1 again, beside runs of the old one.
        name = f"{wanted.kind}_{number}__{came_at:%Y%m%dT%H%M%S%f}"
        rows.execute("UPDATE requests SET run_id = ? WHERE number = ?", (name, number))
    return number


def _note(rows: Rows, number: int, what: str) -> None:
    rows.execute("INSERT INTO history (request, at, what) VALUES (?, ?, ?)", (number, _text(_now()), what))


def _row(rows: Rows, number: int) -> Any:
    return rows.execute("SELECT * FROM requests WHERE number = ?", (number,)).fetchone()


def _request(row: Any) -> Request:
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118  a Row is no mapping
    for name in ("identity", "conf"):
        values[name] = json.loads(values[name])
    for name in ("came_at", "started_at", "ended_at"):
        values[name] = None if values[name] is None else datetime.fromisoformat(values[name])
    return Request(**values)


def _places(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _now() -> datetime:
    return datetime.now(UTC)


def _text(moment: datetime) -> str:
    """In UTC and of one width, so that texts sort as moments do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
