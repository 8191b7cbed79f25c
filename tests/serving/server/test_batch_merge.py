"""Rows of several requests joined, padded and split again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = [pytest.mark.tf]


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6), n_padding=st.integers(0, 4))
def test_every_request_gets_its_own_rows_back(sizes, n_padding):
    from serving.server.batching.batch_merge import merged, split

    size = sum(sizes) + n_padding
    rows = np.arange(sum(sizes) * 2, dtype=np.float32).reshape(-1, 2)
    requests = [[part] for part in np.split(rows, np.cumsum(sizes)[:-1])]
    (joined,) = merged(requests, ["x:0"], size, pads_inputs=False)
    assert joined.shape == (size, 2)
    assert (joined[sum(sizes) :] == rows[0]).all()
    for (given_rows,), (got,) in zip(requests, split([joined * 2], sizes, size), strict=True):
        np.testing.assert_array_equal(got, given_rows * 2)


def test_shorter_rows_are_filled_with_their_own_first_value():
    from serving.server.batching.batch_merge import merged

    parts = [[np.array([[5.0, 6.0]])], [np.array([[1.0, 2.0, 3.0]])]]
    assert merged(parts, ["x:0"], 2, pads_inputs=True)[0].tolist() == [[5, 6, 5], [1, 2, 3]]


@pytest.mark.parametrize(
    ("parts", "pads", "code", "start"),
    [
        (([[1.0]], [[1.0, 2.0]]), False, "FAILED_PRECONDITION", "Tensors with name 'x:0' from different tasks"),
        (
            ([[1.0]], [1.0]),
            True,
            "INVALID_ARGUMENT",
            "Tensors with name 'x:0' from different tasks have different ranks",
        ),
        (([1.0], [1]), False, "INTERNAL", "Tensor concat operation failed"),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(parts, pads, code, start):
    from serving.server.batching.batch_merge import merged
    from serving.server.status import StatusError

    with pytest.raises(StatusError) as caught:
        merged([[np.array(part)] for part in parts], ["x:0"], 2, pads)
    assert caught.value.code.name == code
    assert caught.value.message.startswith(start)


@pytest.mark.parametrize("output", [np.float32(3).reshape(()), np.zeros((3, 1))])
def test_output_without_the_batch_as_first_dimension_is_refused(output):
    from serving.server.batching.batch_merge import split
    from serving.server.status import StatusError

    with pytest.raises(StatusError, match="Batched output tensor"):
        split([output], [1, 1], 2)
