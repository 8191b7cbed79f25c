"""The arithmetic of a batch: rows of several requests joined, padded to an allowed size, and split again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serving.server.run.tensors import dtype_name, number_of
from serving.server.status import StatusError


def merged(
    requests: Sequence[Sequence[np.ndarray]], names: Sequence[str], size: int, pads_inputs: bool
) -> list[np.ndarray]:
    """One array per input, the rows of ``requests`` one after the other, the first row repeated up to ``size`` rows.

    Args:
        requests: Per request its arrays, in the order of ``names`` (the tensors they are for).
        size: Rows of the result.
        pads_inputs: Whether shorter rows are filled up with their own first value; otherwise rows of different shape
            are an error.

    Raises:
        StatusError: ``FAILED_PRECONDITION`` for different shapes, ``INTERNAL`` for different dtypes; all requests of
            the batch share it.
    """
    joined = []
    for name, given in zip(names, zip(*requests, strict=True), strict=True):
        differ = len({part.shape[1:] for part in given}) > 1
        parts = _same_shape(name, given, pads_inputs) if differ else list(given)
        if len({part.dtype for part in parts}) > 1:
            first, second = (dtype_name(number_of(part)) for part in _first_two_dtypes(parts))
            raise StatusError(
                "INTERNAL",
                "Tensor concat operation failed: INVALID_ARGUMENT: Cannot concatenate tensors that have different data "
                f"types. Got {first} and {second}.",
            )
        n_missing = size - sum(len(part) for part in parts)
        filling = [np.repeat(parts[0][:1], n_missing, axis=0)] if n_missing else []
        joined.append(np.concatenate([*parts, *filling]) if len(parts) + len(filling) > 1 else parts[0])
    return joined


def _first_two_dtypes(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return parts[0], next(part for part in parts if part.dtype != parts[0].dtype)


def _same_shape(name: str, parts: Sequence[np.ndarray], pads_inputs: bool) -> list[np.ndarray]:
    if not pads_inputs:
        raise StatusError(
            "FAILED_PRECONDITION",
            f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. "
            "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
            "dimensions starting with the first dim.",
        )
    if len({part.ndim for part in parts}) > 1:
        raise StatusError(
            "INVALID_ARGUMENT",
            f"Tensors with name '{name}' from different tasks have different ranks, so padding makes no batch of them",
        )
    largest = [max(part.shape[axis] for part in parts) for axis in range(1, parts[0].ndim)]
    return [_padded(part, largest) for part in parts]


def _padded(part: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    widths = [(0, 0), *((0, wanted - size) for wanted, size in zip(shape, part.shape[1:], strict=True))]
    if not any(after for _, after in widths):
        return part
    filling = part.ravel()[0] if part.size else (b"" if part.dtype == object else np.zeros((), part.dtype)[()])
    return np.pad(part, widths, constant_values=filling)


def split(outputs: Sequence[np.ndarray], sizes: Sequence[int], size: int) -> list[list[np.ndarray]]:
    """Per request its rows of each output; rows beyond the sum of ``sizes`` are padding and dropped.

    Raises:
        StatusError: ``FAILED_PRECONDITION`` where an output does not have ``size`` rows.
    """
    for output in outputs:
        if not output.ndim:
            raise StatusError("FAILED_PRECONDITION", "Batched output tensor has 0 dimensions")
        if len(output) != size:
            raise StatusError(
                "FAILED_PRECONDITION",
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors",
            )
    ends = np.cumsum(sizes)
    return [[output[end - n_rows : end] for output in outputs] for end, n_rows in zip(ends, sizes, strict=True)]
