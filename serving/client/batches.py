"""Images in batches: read, grouped into requests, and answers put back into their places."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from serving.client.answers import Answer, ImageRefused, Refused
from serving.client.image_bytes import MOST_FILE_BYTES, image_bytes

#: Measured: batches of 8 cost the server a quarter less processor time an image, larger ones hardly less.
BATCH_SIZE = 8
N_AT_ONCE = 2

T = TypeVar("T")


def as_sent(image: Any) -> bytes | Refused:
    """What is sent of an image (``image_bytes``), or why it is not."""
    try:
        return image_bytes(image)
    except ImageRefused as error:
        return Refused(str(error))


def groups(read: list[bytes | Refused]) -> Iterator[list[bytes]]:
    """What can be sent, in as few requests as take it: no request is larger than the largest single image."""
    group: list[bytes] = []
    for image in read:
        if isinstance(image, Refused):
            continue
        if group and sum(map(len, group)) + len(image) > MOST_FILE_BYTES:
            yield group
            group = []
        group.append(image)
    if group:
        yield group


def merged(read: list[bytes | Refused], answers: list[Answer | Refused]) -> list[Answer | Refused]:
    """``answers`` at the places of what was sent, refusals at those of what was not."""
    rest = iter(answers)
    return [image if isinstance(image, Refused) else next(rest) for image in read]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``items`` in lists of ``size``, the last one of what is left."""
    # itertools.batched needs Python 3.12.
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
