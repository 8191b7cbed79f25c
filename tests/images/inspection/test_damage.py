"""JPEG files whose data are damaged: taken or refused alike at ingest, in prepare and by the served graph."""

from __future__ import annotations

import random

import pytest

from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.images.inspection.picture import decode
from cxr_tasks.images.inspection.unusable import Unusable
from tests.image_files import TAKEN

pytestmark = pytest.mark.tf

KINDS = ("JPEG progressive", "JPEG progressive RGB", "JPEG by component", "JPEG with restarts", "JPEG grey", "JPEG RGB")
N_OF_EACH = 40


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Some bytes of the picture's data changed, as a bad disk or a bad line does; head and end marker stay."""
    damage = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 5])):
        damage[chance.randrange(content.index(b"\xff\xda") + 14, len(content) - 2)] = chance.randrange(256)
    return bytes(damage)


def flags_at_ingest(content: bytes) -> tuple[str, ...] | None:
    """None of a file that is refused."""
    try:
        return decode(content).form.flags
    except Unusable:
        return None


@pytest.fixture(scope="module")
def refused_by_graph():
    """Whether the graph refuses each of some files, as prepare and the server do."""
    import tensorflow as tf

    from cxr_tasks.images.batches import judged_pixels

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def refusals(contents):
        return judged_pixels(contents, PixelSpec(size_px=32)).refusal

    return lambda contents: [bool(refusal) for refusal in refusals(tf.constant(contents)).numpy()]


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_judged_alike_at_ingest_and_by_the_graph(refused_by_graph, name):
    chance = random.Random(7)
    contents = [damaged(TAKEN[name], chance) for _ in range(N_OF_EACH)]
    expected = refused_by_graph(contents)
    found = [flags_at_ingest(content) for content in contents]
    assert {place for place in range(N_OF_EACH) if (found[place] is None) != expected[place]} == set()
    if name.startswith("JPEG progressive"):  # of which a decoder says no more than the first fault
        assert any(expected) and not all(expected)


def test_damage_that_is_passed_over_is_flagged_and_nothing_else_is():
    whole = {name: TAKEN[name] for name in KINDS}
    assert {name: flags_at_ingest(content) for name, content in whole.items()} == dict.fromkeys(KINDS, ())
    chance = random.Random(7)
    found = [flags_at_ingest(damaged(TAKEN["JPEG grey"], chance)) for _ in range(N_OF_EACH)]
    assert ("damaged_data",) in found
