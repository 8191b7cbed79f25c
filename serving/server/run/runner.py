"""What executes a signature: a loaded model directly, or the batches in front of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Runner(Protocol):
    """Runs tensors by name; raises ``StatusError``."""

    def run(self, feeds: Sequence[str], arrays: Sequence[np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """The tensors named ``fetches`` with ``arrays`` in place of the tensors named ``feeds``."""
        ...
