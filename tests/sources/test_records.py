from __future__ import annotations

import dataclasses
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.sources.base import Box, ImageRecord
from cxr_tasks.sources.reading import records as _records
from cxr_tasks.sources.reading.records import BLOCK, PackedRecords


def make_record(number: int) -> ImageRecord:
    return ImageRecord(
        image_id=f"train/NORMAL/IM-{number:06d}-0001.jpeg",
        patient_id=f"IM{number}",
        study_id=f"train/NORMAL/IM-{number:06d}-0001.jpeg",
        states={"pneumonia": LabelState.NEGATIVE},
        age_years=50.0,
    )


_words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_boxes = st.builds(Box, finding=_words, x=st.floats(0, 9), y=st.integers(0, 9), width=st.just(0.1), height=st.just(2))
_any_record = st.builds(
    ImageRecord,
    image_id=_words,
    patient_id=_words,
    study_id=_words,
    states=st.dictionaries(_words, st.sampled_from(LabelState), max_size=3),
    official_split=_words,
    view=_words,
    sex=_words,
    age_years=st.one_of(st.floats(0, 120), st.just(_records._UNKNOWN_AGE)),
    sub_label=_words,
    boxes=st.lists(_boxes, max_size=2).map(tuple),
    box_frame=st.one_of(st.none(), st.tuples(st.integers(1, 9), st.integers(1, 9))),
)


@given(st.lists(_any_record, max_size=6))
@settings(max_examples=60, deadline=None)
def test_records_come_out_as_they_went_in(records):
    assert PackedRecords(records) == records
    assert [type(one.boxes[0].y) for one in PackedRecords(records) if one.boxes] == [
        type(one.boxes[0].y) for one in records if one.boxes
    ]


@pytest.mark.parametrize("n", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_they_are_a_sequence_across_blocks(n):
    records = [make_record(number) for number in range(n)]
    packed = PackedRecords(records)
    assert len(packed) == n
    assert packed == [packed[place] for place in range(n)] == records
    assert packed[-3:] == tuple(records[-3:])
    with pytest.raises(IndexError):
        packed[n]


def test_they_are_equal_to_the_same_records_only():
    records = [make_record(number) for number in range(3)]
    assert PackedRecords(records) == PackedRecords(records) == tuple(records)
    assert PackedRecords(records) != PackedRecords(records[::-1])
    assert PackedRecords(records) != records[:2]


def test_sorting_merges_runs_and_keeps_the_order_of_equal_ones(monkeypatch):
    monkeypatch.setattr(_records, "RUN", 100)
    records = [make_record(number // 2) for number in range(1500)]
    records = [dataclasses.replace(one, sub_label=str(place)) for place, one in enumerate(records)]
    random.Random(1).shuffle(records)
    assert PackedRecords(records).sorted() == sorted(records, key=lambda one: one.image_id)


def test_sorted_records_are_not_sorted_again():
    packed = PackedRecords(make_record(number) for number in range(10))
    assert packed.sorted() is packed


def test_equal_states_and_ages_are_one_object():
    records = [dataclasses.replace(make_record(number), age_years=float(number % 2)) for number in range(600)]
    packed = list(PackedRecords(records))
    assert len({id(one.states) for one in packed}) == 1
    assert len({id(one.age_years) for one in packed}) == 2


def test_states_that_are_gone_are_not_taken_for_others():
    """Their memory, and so what ``id`` says of them, is used again."""
    states = [{"pneumonia": LabelState.POSITIVE if number % 3 else LabelState.NEGATIVE} for number in range(500)]
    packed = PackedRecords(
        dataclasses.replace(make_record(number), states=dict(one)) for number, one in enumerate(states)
    )
    assert [one.states for one in packed] == states


def test_a_record_takes_few_bytes():
    tracemalloc.start()
    try:
        packed = PackedRecords(make_record(number) for number in range(20_000))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(packed) == 20_000
    assert held / len(packed) < 60
