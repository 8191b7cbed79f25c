"""The gradients of a network's logits in closed form, where its head is an average over places and one Dense layer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def gradients_of_head(model: keras.Model, features: Any) -> np.ndarray | None:
    """Gradient of each logit by each channel of ``features`` averaged over places, float ``(c, k)``.

    None where the head is anything but an average over all places, dropout and one linear Dense layer, or the mean of
    several such answers of which one is of ``features`` (that of a mirror image does not count: ``features`` are those
    of the image as it is).

    Args:
        features: Symbolic output of the last convolution.
    """
    output = model.outputs[0]
    averaged = _operation(output)
    if type(averaged) is not keras.layers.Average:
        return _of_chain(output, features)
    parts = [_of_chain(part, features) for part in _inputs(output)]
    known = [part for part in parts if part is not None]
    # A part that is not of these features must not depend on them by another way either.
    others = [part for part, gradient in zip(_inputs(output), parts, strict=True) if gradient is None]
    if len(known) != 1 or any(_depends_on(part, features) for part in others):
        return None
    return known[0] / len(parts)


def _of_chain(output: Any, features: Any) -> np.ndarray | None:
    head = _operation(output)
    if type(head) is not keras.layers.Dense or head.activation is not keras.activations.linear:
        return None
    (before,) = _inputs(output)
    while type(_operation(before)) is keras.layers.Dropout:
        (before,) = _inputs(before)
    pool = _operation(before)
    if type(pool) is not keras.layers.GlobalAveragePooling2D or pool.data_format != "channels_last":
        return None
    (pooled,) = _inputs(before)
    return np.asarray(head.kernel, np.float64) if pooled is features else None


def _depends_on(tensor: Any, features: Any) -> bool:
    seen, waiting = set(), [tensor]
    while waiting:
        current = waiting.pop()
        if current is features:
            return True
        if id(current) not in seen:
            seen.add(id(current))
            waiting += _inputs(current)
    return False


def _operation(tensor: Any) -> Any:
    return tensor._keras_history.operation


def _inputs(tensor: Any) -> list[Any]:
    """The symbolic tensors that ``tensor`` was made from; none for an input of the model."""
    history = tensor._keras_history
    return list(history.operation._inbound_nodes[history.node_index].input_tensors)
