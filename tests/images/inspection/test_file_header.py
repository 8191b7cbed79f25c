"""Ingest and the served graph judge headers by one rule."""

from __future__ import annotations

import random

import pytest

from cxr_tasks.images.inspection.file_header import read_header
from cxr_tasks.images.inspection.picture import decode
from cxr_tasks.images.inspection.unusable import Unusable
from cxr_tasks.images.rules import RequestLimits
from tests.image_files import REFUSED, TAKEN, encoded, exif, late_exif_png, smooth

CONTENTS = {**TAKEN, **{name: content for name, (content, _) in REFUSED.items()}}


def outcome(content: bytes) -> tuple:
    """What the header says, or the words of the refusal."""
    try:
        found = read_header(content)
    except Unusable as why:
        return (why.detail,)
    return found.height, found.width, found.orientation


def outcomes_in_graph(contents: list[bytes]) -> list[tuple]:
    import tensorflow as tf

    from cxr_tasks.images.graph.headers import read_headers
    from cxr_tasks.images.graph.problems import problem_words

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def read(files):
        headers = read_headers(files, RequestLimits())
        return problem_words(files, headers, RequestLimits()), headers.height, headers.width, headers.orientation

    words, *said = (one.numpy() for one in read(tf.constant(contents)))
    rows = zip(words, *said, strict=True)
    return [(why.decode(),) if why else tuple(int(one) for one in header) for why, *header in rows]


@pytest.mark.tf
def test_the_graph_reads_every_header_as_ingest_does():
    found = dict(zip(CONTENTS, outcomes_in_graph(list(CONTENTS.values())), strict=True))
    assert found == {name: outcome(content) for name, content in CONTENTS.items()}


@pytest.mark.tf
def test_the_graph_reads_damaged_headers_as_ingest_does():
    """Bytes changed, cut out and doubled near the front, where the headers are."""
    chance = random.Random(5)
    contents = []
    for _ in range(1500):
        content = bytearray(chance.choice(list(TAKEN.values())))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(min(len(content), 700))
            kind = chance.choice(["change", "cut", "double", "end"])
            if kind == "change":
                content[at] = chance.choice([0, 1, 0xFF, 0xD8, 0xDA, chance.randrange(256)])
            elif kind == "cut":
                del content[at : at + chance.randint(1, 30)]
            elif kind == "double":
                content[at:at] = content[at : at + chance.randint(1, 30)]
            else:
                del content[at + 4 :]
        contents.append(bytes(content))
    expected = [outcome(content) for content in contents]
    assert sum(len(one) == 3 for one in expected) > 300 and sum(len(one) == 1 for one in expected) > 300
    differ = [
        (one, other, content[:80])
        for one, other, content in zip(outcomes_in_graph(contents), expected, contents, strict=True)
        if one != other
    ]
    assert differ == []


@pytest.mark.parametrize("name", TAKEN)
def test_ingest_takes_what_the_graph_takes(name):
    assert decode(TAKEN[name]).grey.size


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "DICOM"])
def test_ingest_refuses_what_the_graph_refuses(name):
    with pytest.raises(Unusable):
        decode(REFUSED[name][0])


@pytest.mark.tf
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_upright_at_ingest_and_in_the_graph(orientation):
    import io

    import numpy as np
    from PIL import Image, ImageOps

    from cxr_tasks.images.pixels import decode_grey

    contents = [encoded(smooth().convert(mode), "JPEG", exif=exif(orientation)) for mode in ("L", "RGB")]
    for content in [*contents, encoded(smooth(), "PNG", exif=exif(orientation)), late_exif_png(orientation)]:
        picture = decode(content)
        upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("L"))
        assert np.array_equal(picture.grey, upright)
        assert (picture.form.height_px, picture.form.width_px) == upright.shape
        assert np.array_equal(decode_grey(content).numpy()[..., 0], upright)


def test_a_coloured_mark_is_flagged_and_its_share_known():
    assert decode(TAKEN["a small mark"]).form.coloured == pytest.approx(0.01)
    assert decode(TAKEN["JPEG RGB"]).form.coloured == 0
