"""Dead rows and columns of a detector, and what only looks like one."""

from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.images.inspection.lines import has_line
from tests.image_files import smooth

FIELD = np.asarray(smooth(300, 260, seed=4)) // 2 + 60


def with_row(at: slice, value: int) -> np.ndarray:
    changed = FIELD.copy()
    changed[at] = value
    return changed


@pytest.mark.parametrize(
    ("picture", "is_suspected"),
    [
        (FIELD, False),
        (with_row(slice(100, 101), 0), True),
        (with_row(slice(100, 102), 255), True),
        (with_row(slice(100, 101), 255).T, True),  # a column
        (with_row(slice(100, None), 0), False),  # an edge of a collimator
        (with_row(slice(1, 2), 255), False),  # a frame
        (with_row(slice(100, 140), 0), False),  # a band of text or a marker
    ],
)
def test_a_line_from_edge_to_edge(picture, is_suspected):
    assert has_line(picture.astype(np.uint8)) is is_suspected
