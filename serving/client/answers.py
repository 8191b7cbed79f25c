"""What a client gets: answers to images, and what is refused; what the server says of its versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import CxrError, ServiceUnavailable

if TYPE_CHECKING:
    import numpy as np

AVAILABLE, END = "AVAILABLE", "END"


class RequestRefused(CxrError):
    """The request will be refused again as it is; the text is the server's own, or says what came instead of an image.

    ``ImageRefused`` and ``NotServed`` are the two kinds that callers act on.
    """


class ImageRefused(RequestRefused):
    """This image cannot be read, by the client or by the served model; others can."""


class NotServed(RequestRefused):
    """The server knows no such model, version, label or signature."""


class TimedOut(ServiceUnavailable):
    """No answer within the time limit. Not asked again: a server that is slow would only get more to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one version says of one image, a tuple entry per finding. A research tool's output, not a diagnosis."""

    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    """Calibrated, in [0, 1]."""
    decisions: tuple[bool, ...]
    """Probability at or above the operating point that was chosen on validation."""
    note: str = ""
    """What is to be known of the image, in the server's words."""
    version: int | None = None
    """Which version answered; None over REST by label, whose answers do not tell."""
    typicality: float | None = None
    """In (0, 1): how far the image is like those of training; None from versions that do not measure it."""
    is_unusual: bool | None = None
    """Less typical than 99 % of validation: the answer is not to be relied on."""
    heat_maps: np.ndarray | None = field(default=None, compare=False)
    """float32 ``(k, h, w)`` in [0, 1], where they were asked for (``explain``)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An image without an answer among others that have one, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version that the server knows of."""

    version: int
    state: str
    """START, LOADING, AVAILABLE, UNLOADING or END."""
    reason: str = ""
    """Why it could not be loaded; '' where nothing went wrong."""


#: Signature -> ``inputs`` and ``outputs`` -> tensor name -> number of its type, as TensorFlow counts types.
Signatures = Mapping[str, Mapping[str, Mapping[str, int]]]
