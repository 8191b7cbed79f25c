"""How batches are made up: the parameters file, or that of one version."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.server.config import read_text_proto
from serving.server.status import StatusError
from serving.server.text_protos import new_batching_parameters

PER_MODEL_FILE = "batching_params.pbtxt"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """Sizes in rows; ``timeout_s`` is how long the first request of a batch waits for others."""

    max_batch_size: int = 1000
    timeout_s: float = 0.0
    max_enqueued_batches: int = 10
    n_threads: int = os.cpu_count() or 1
    allowed_sizes: tuple[int, ...] = ()
    pads_inputs: bool = False

    @classmethod
    def read(cls, file: str) -> BatchLimits:
        """The limits in the text-format ``BatchingParameters`` of ``file``.

        Raises:
            StatusError: The file is missing or malformed.
        """
        held: Any = read_text_proto(file, new_batching_parameters())
        given: dict[str, Any] = {"allowed_sizes": tuple(held.allowed_batch_sizes)}
        given["pads_inputs"] = held.pad_variable_length_inputs
        if held.HasField("max_batch_size"):
            given["max_batch_size"] = held.max_batch_size.value
        if held.HasField("batch_timeout_micros"):
            given["timeout_s"] = held.batch_timeout_micros.value / 1e6
        if held.HasField("max_enqueued_batches"):
            given["max_enqueued_batches"] = held.max_enqueued_batches.value
        if held.HasField("num_batch_threads"):
            given["n_threads"] = held.num_batch_threads.value
        return cls(**given)

    @classmethod
    def of_version(cls, folder: Path) -> BatchLimits | None:
        """The limits that a version folder brings itself; None where it brings none (it is then not batched)."""
        file = folder / PER_MODEL_FILE
        return cls.read(str(file)) if file.is_file() else None

    def check(self) -> None:
        """Refuses limits that no batch can keep to.

        Raises:
            StatusError: ``INVALID_ARGUMENT``.
        """
        for name in ("max_batch_size", "max_enqueued_batches", "n_threads"):
            if getattr(self, name) < 1:
                raise StatusError("INVALID_ARGUMENT", f"{name} must be at least 1; was {getattr(self, name)}")
        if self.timeout_s < 0:
            raise StatusError(
                "INVALID_ARGUMENT", f"batch_timeout_micros must not be negative; was {self.timeout_s * 1e6:.0f}"
            )
        if self.allowed_sizes and self.allowed_sizes[-1] != self.max_batch_size:
            raise StatusError(
                "INVALID_ARGUMENT",
                "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
                f"{self.allowed_sizes[-1]}; expected {self.max_batch_size}",
            )

    def padded_size(self, n_rows: int) -> int:
        """The smallest allowed size that holds ``n_rows``."""
        return min((size for size in self.allowed_sizes if size >= n_rows), default=n_rows)
