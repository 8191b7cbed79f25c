"""Records of very many images held small: 100,000 of them as objects would take what the rest of an ingest takes."""

from __future__ import annotations

import heapq
import itertools
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar, overload

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.sources.base import Box, ImageRecord

Key = TypeVar("Key")
Value = TypeVar("Value")

#: Records packed together; as many are unpacked at a time.
BLOCK = 256
#: Records sorted at a time; sorted runs are then merged.
RUN = 8192
#: Different states that are kept beside the records, of which there may be as many.
MOST_STATES = 1024
_LETTER_OF = dict(zip(LabelState, "PNUB", strict=True))
_STATE_OF = {letter: state for state, letter in _LETTER_OF.items()}
#: One object, as a value that is not a number is only equal to itself where it is the same one.
_UNKNOWN_AGE: float = ImageRecord.__dataclass_fields__["age_years"].default  # type: ignore[assignment]
_by_image_id = attrgetter("image_id")
_fields_of = attrgetter(*ImageRecord.__dataclass_fields__)


def _is_same(one: ImageRecord, other: object) -> bool:
    """Equal in every field, ages that are not known among them: Python 3.13 takes two such records for different."""
    return isinstance(other, ImageRecord) and all(
        mine is its or mine == its for mine, its in zip(_fields_of(one), _fields_of(other), strict=True)
    )


def _kept(cache: dict[Key, Value], key: Key, value: Value) -> Value:
    """``value``, which ``cache`` holds from now on; it begins anew where it is full."""
    if len(cache) >= MOST_STATES:
        cache.clear()
    cache[key] = value
    return value


class PackedRecords(Sequence[ImageRecord]):
    """Records in the order they were added, about 30 bytes each; equal states, and equal ages, are mostly one object.

    Meant to be gone through from the beginning; any one can be had, at the cost of unpacking its block.
    """

    def __init__(self, records: Iterable[ImageRecord] = ()):
        self._blocks: list[bytes] = []
        self._waiting: list[list[Any]] = []
        self._findings: list[tuple[str, ...]] = []
        self._coded: dict[int, tuple[Mapping[str, LabelState], str]] = {}
        self._decoded: dict[str, Mapping[str, LabelState]] = {}
        self._ages: dict[float, float] = {}
        self._last = ""
        self._is_sorted = True
        self._unpacked: tuple[int, list[ImageRecord]] = (-1, [])
        for record in records:
            self.append(record)

    def append(self, record: ImageRecord) -> None:
        """Add one record after the others."""
        self._is_sorted = self._is_sorted and self._last <= record.image_id
        self._last = record.image_id
        self._waiting.append(
            [
                record.image_id,
                record.patient_id,
                record.study_id,
                self._code(record.states),
                record.official_split,
                record.view,
                record.sex,
                record.age_years,
                record.sub_label,
                [[one.finding, one.x, one.y, one.width, one.height] for one in record.boxes],
                record.box_frame,
            ]
        )
        if len(self._waiting) == BLOCK:
            self._blocks.append(zlib.compress(json.dumps(self._waiting, separators=(",", ":")).encode(), 1))
            self._waiting = []

    def sorted(self) -> PackedRecords:
        """The same records by ``image_id``; equal ones keep their order. Few are unpacked at a time."""
        if self._is_sorted:
            return self
        records = iter(self)
        runs: list[PackedRecords] = []
        while run := list(itertools.islice(records, RUN)):
            runs.append(PackedRecords(sorted(run, key=_by_image_id)))
        del run
        return PackedRecords(heapq.merge(*runs, key=_by_image_id))

    def __len__(self) -> int:
        return len(self._blocks) * BLOCK + len(self._waiting)

    @overload
    def __getitem__(self, place: int) -> ImageRecord: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[ImageRecord, ...]: ...
    def __getitem__(self, place: int | slice) -> ImageRecord | tuple[ImageRecord, ...]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(len(self))))
        number = range(len(self))[place]
        block = number // BLOCK
        if block == len(self._blocks):
            return self._record(self._waiting[number % BLOCK])
        if self._unpacked[0] != block:
            self._unpacked = (block, [self._record(row) for row in self._rows_of(block)])
        return self._unpacked[1][number % BLOCK]

    def __iter__(self) -> Iterator[ImageRecord]:
        for block in range(len(self._blocks)):
            yield from map(self._record, self._rows_of(block))
        yield from map(self._record, self._waiting)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(_is_same, self, other))

    # It can be added to.
    __hash__ = None  # type: ignore[assignment]

    def _code(self, states: Mapping[str, LabelState]) -> str:
        """These states as text. Sources share an object among rows: it is known without being looked into."""
        known = self._coded.get(id(states))
        if known is None:
            findings = tuple(states)
            if findings not in self._findings:
                self._findings.append(findings)
            letters = "".join([_LETTER_OF[state] for state in states.values()])
            # The object is held beside its text, so that no other comes to have its id.
            known = _kept(self._coded, id(states), (states, f"{self._findings.index(findings)}:{letters}"))
        return known[1]

    def _states(self, code: str) -> Mapping[str, LabelState]:
        states = self._decoded.get(code)
        if states is None:
            number, _, letters = code.partition(":")
            named = zip(self._findings[int(number)], letters, strict=True)
            states = _kept(self._decoded, code, {finding: _STATE_OF[letter] for finding, letter in named})
        return states

    def _rows_of(self, block: int) -> list[list[Any]]:
        return json.loads(zlib.decompress(self._blocks[block]))

    def _record(self, row: list[Any]) -> ImageRecord:
        image_id, patient_id, study_id, code, official_split, view, sex, age, sub_label, boxes, frame = row
        return ImageRecord(
            image_id=image_id,
            patient_id=patient_id,
            study_id=study_id,
            states=self._states(code),
            official_split=official_split,
            view=view,
            sex=sex,
            age_years=_UNKNOWN_AGE if math.isnan(age) else self._ages.setdefault(age, age),
            sub_label=sub_label,
            boxes=tuple(Box(finding=finding, x=x, y=y, width=w, height=h) for finding, x, y, w, h in boxes),
            box_frame=None if frame is None else (frame[0], frame[1]),
        )
