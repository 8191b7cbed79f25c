"""Which arithmetic a training step uses, by what the processor has.

Measured with the residual CNN at 128 px on AVX512_BF16 without AMX: 76 images per processor second in mixed_bfloat16,
61 in float32 (1.2 times); DenseNet121 at 224 px, with fused normalisation: 6.6 and 3.8 (1.8 times), and 4.0 GiB of
memory instead of 6.0. oneDNN's own switch (ONEDNN_DEFAULT_FPMATH_MODE=BF16) left the loss equal to the last digit
there, so it did nothing, and is not set.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cxr_tasks.installation.processor import BF16_FLAGS


def resolve_precision(choice: str, *, cpu_flags: frozenset[str], n_gpus: int) -> str:
    """``choice``, or for ``"auto"`` the Keras policy that is faster here: ``"float32"`` or ``"mixed_bfloat16"``."""
    if choice != "auto":
        return choice
    return "mixed_bfloat16" if n_gpus or cpu_flags & BF16_FLAGS else "float32"


@contextlib.contextmanager
def dtype_policy(policy: str) -> Iterator[None]:
    """Layers built inside the block compute in ``policy``; the policy in force before comes back after it."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
