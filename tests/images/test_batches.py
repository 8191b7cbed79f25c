"""Which files the graph takes, with the reason for each that it does not, and none of them the worse for another."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.images.rules import RequestLimits
from tests.image_files import REFUSED, TAKEN, encoded, smooth

pytestmark = pytest.mark.tf

SPEC = PixelSpec(size_px=32)


@pytest.fixture(scope="module")
def judge():
    """``judged_pixels`` compiled, as it is served."""
    import tensorflow as tf

    from cxr_tasks.images.batches import judged_pixels

    compiled = tf.function(
        lambda contents: judged_pixels(contents, SPEC), input_signature=[tf.TensorSpec((None,), tf.string)]
    )
    return lambda contents: compiled(tf.constant(list(contents), tf.string))


@pytest.fixture(scope="module")
def together(judge):
    """All files in one batch: refusals and notes by name, and pixels."""
    contents = {**TAKEN, **{name: content for name, (content, _) in REFUSED.items()}}
    judged = judge(contents.values())
    words = [{name: one.decode() for name, one in zip(contents, of.numpy(), strict=True)} for of in judged[1:]]
    return (*words, dict(zip(contents, judged.pixels.numpy(), strict=True)))


def test_every_usual_file_is_taken_among_those_that_are_refused(together):
    refusals, notes, pixels = together
    assert {name: refusals[name] for name in TAKEN if refusals[name]} == {}
    assert {name for name in TAKEN if notes[name]} == {"a small mark"}
    assert "coloured mark" in notes["a small mark"] and notes["a small mark"].endswith("1.0")
    assert all(pixels[name].any() for name in TAKEN)


@pytest.mark.parametrize("name", REFUSED)
def test_whatever_is_not_taken_is_refused_with_its_reason(together, name):
    refusals, _, pixels = together
    assert REFUSED[name][1] in refusals[name]
    assert not pixels[name].any()


@pytest.mark.parametrize(
    "name", ["JPEG grey", "PNG 16 bits", "WebP animated", "JPEG cut and ended", "PNG cut", "nothing"]
)
def test_a_file_alone_is_judged_as_in_a_batch(together, judge, name):
    refusals, _, pixels = together
    alone = judge([TAKEN[name] if name in TAKEN else REFUSED[name][0]])
    assert alone.refusal.numpy()[0].decode() == refusals[name]
    assert np.array_equal(alone.pixels[0], pixels[name])


def test_a_batch_with_more_pixels_than_are_decoded_side_by_side_gives_the_same(judge, together, monkeypatch):
    from cxr_tasks.images import batches

    monkeypatch.setattr(batches, "PARALLEL_PIXELS", 1)
    names = ["JPEG grey", "PNG cut", "PNG 16 bits"]
    contents = [TAKEN[name] if name in TAKEN else REFUSED[name][0] for name in names]
    judged = batches.judged_pixels(contents, SPEC)
    assert np.array_equal(judged.pixels, np.stack([together[2][name] for name in names]))
    assert [bool(one) for one in judged.refusal.numpy()] == [False, True, False]


def test_any_cut_of_a_file_is_refused(judge):
    for name in ("JPEG grey", "JPEG progressive", "JPEG RGB", "PNG grey", "BMP grey"):
        content = TAKEN[name]
        cuts = [content[:length] for length in range(0, len(content) - 1, max(len(content) // 60, 1))]
        passed = [len(cut) for cut, why in zip(cuts, judge(cuts).refusal.numpy(), strict=True) if not why]
        assert passed == [], f"{name}: of {len(content)} bytes"


def test_a_jpeg_that_was_cut_and_given_an_end_is_refused_wherever_it_was_cut(judge):
    for options in ({}, {"progressive": True}):
        content = encoded(smooth(200, 180), "JPEG", **options)
        start = content.index(b"\xff\xda")
        # Less than a row of blocks may be missing at the very end without a trace.
        lengths = range(start + 40, int(len(content) * 0.93), len(content) // 25)
        judged = judge([content[:length] + b"\xff\xd9" for length in lengths])
        assert all(judged.refusal.numpy()), [
            n for n, why in zip(lengths, judged.refusal.numpy(), strict=True) if not why
        ]


def test_no_files_are_no_answers(judge):
    judged = judge([])
    assert [tuple(one.shape) for one in judged] == [(0, 32, 32, 1), (0,), (0,)]


def test_the_error_of_a_batch_names_the_index_and_how_many_more_there_are():
    import tensorflow as tf

    from cxr_tasks.images.batches import batch_standard_pixels

    contents = [TAKEN["JPEG grey"], REFUSED["WebP animated"][0], TAKEN["PNG grey"], b"text"]
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.function(lambda: batch_standard_pixels(tf.constant(contents), SPEC))()
    assert "image 1 (counted from 0, of 4): expected a JPEG, PNG or BMP file, found a WebP" in str(caught.value)
    assert "(and 1 more are refused)" in str(caught.value)


def test_the_most_pixels_are_a_setting():
    from cxr_tasks.images.batches import judged_pixels

    content = encoded(smooth(1100, 1000), "PNG")
    refusals = [judged_pixels([content], SPEC, RequestLimits(megapixels=most)).refusal.numpy()[0] for most in (1, 2)]
    assert refusals == [b"1100 x 1000 pixels, at most 1 million are taken", b""]
