"""The three calls of TensorFlow Serving that this client makes, free of any transport. Each of them only reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from serving.client.answers import ServedVersion, Signatures

INPUT_NAME = "image_bytes"
#: Which version is asked: a number, a label, or None for the newest that is loaded.
At = int | str | None


@dataclass(frozen=True, slots=True)
class Predict:
    """Run a signature on images, given as the bytes of their files."""

    model: str
    at: At
    signature: str
    images: tuple[bytes, ...]
    outputs: tuple[str, ...] = ()
    """Names of the outputs that are wanted; all where empty."""


@dataclass(frozen=True, slots=True)
class Status:
    """States of all versions of a model."""

    model: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """Signatures of a version, and which version it is."""

    model: str
    at: At


Call = Predict | Status | Metadata


@dataclass(frozen=True, slots=True)
class Outputs:
    """Arrays with the batch as first dimension; strings are ``bytes`` objects."""

    version: int | None
    tensors: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Described:
    """A version and its signatures."""

    version: int
    signatures: Signatures


Reply = Outputs | Described | tuple["ServedVersion", ...]


class CallFailed(Exception):
    """A call got no reply; ``code`` is gRPC's name of the reason, whichever the transport."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text

    @property
    def is_overload(self) -> bool:
        """The server is there and has no turn free: nothing was run, and a moment later it may."""
        # gRPC says RESOURCE_EXHAUSTED of a message that is too large as well, which it will be again.
        is_too_large = "larger than max" in self.text
        # The real server of a full queue, ours of bodies that have no room.
        says_so = "batch scheduling queue" in self.text or self.text.endswith("; try again")
        return (self.code == "UNAVAILABLE" and says_so) or (self.code == "RESOURCE_EXHAUSTED" and not is_too_large)

    @property
    def is_unreachable(self) -> bool:
        """Nobody listens there, or the connection broke."""
        return self.code == "UNAVAILABLE" and not self.is_overload


class Transport(Protocol):
    """Sends calls to one server; safe to use from several threads."""

    address: str

    def send(self, call: Call, timeout_s: float) -> Reply:
        """The reply; ``CallFailed`` where there is none."""

    def close(self) -> None: ...


class AsyncTransport(Protocol):
    """The same, awaited."""

    address: str

    async def send(self, call: Call, timeout_s: float) -> Reply: ...

    async def close(self) -> None: ...
