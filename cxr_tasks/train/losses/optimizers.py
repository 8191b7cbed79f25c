"""Optimizers for gradients that are already those of the whole batch, however many devices computed them."""

from __future__ import annotations

from typing import Any

import keras


class TakesGradientsOfTheWholeBatch:
    """Before an optimizer's class: keeps it from adding the gradients of several devices up.

    Keras does so after clipping, so that each device's part of the gradient would be clipped by itself. A step here
    averages them before (``loop/devices.py``), and clipping sees the gradient that one device would see.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list[Any]:
        return list(grads_and_vars)


class AdamW(TakesGradientsOfTheWholeBatch, keras.optimizers.AdamW):
    """Keras' AdamW."""
