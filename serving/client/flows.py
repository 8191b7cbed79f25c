"""What the client does, written once: flows that yield calls and pauses, driven by a thread or by an event loop.

A flow is a generator. It yields a ``Send`` and is given the reply, or has ``CallFailed`` raised in it; it yields a
``Pause`` and is given nothing. So trying again, falling back and taking answers apart are the same for both clients.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cxr_tasks.contracts.errors import CxrError, ServiceUnavailable
from serving.client.answers import Answer, ImageRefused, NotServed, Refused, RequestRefused, ServedVersion, TimedOut
from serving.client.calls import At, Call, CallFailed, Described, Metadata, Outputs, Predict, Reply, Status

if TYPE_CHECKING:
    import numpy as np

#: The label of what serves; and how long is waited, where nobody says otherwise.
STABLE, TIMEOUT_S, PATIENCE_S = "stable", 60.0, 1.0
LENIENT, STRICT, EXPLAIN = "lenient", "serving_default", "explain"
#: Before a call comes again, doubled each time: to a busy server, whose turns are short, and to one that is not there.
BUSY_PAUSE_S, FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.005, 0.05, 1.0

T = TypeVar("T")
_ALWAYS = ("labels", "probabilities", "decisions")
#: How the server begins what it says of a label or signature that it does not know.
_UNSERVED = ("Unrecognized servable version label", "Serving signature")


@dataclass(frozen=True, slots=True)
class Send:
    call: Call
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


Flow = Generator[Send | Pause, Any, T]


@dataclass(frozen=True, slots=True)
class Rules:
    """How long is waited, and for what."""

    address: str
    timeout_s: float
    """For an answer, all tries together."""
    patience_s: float
    """For a server that nobody reaches, within ``timeout_s``."""


def answered(rules: Rules, call: Call) -> Flow[Reply]:
    """The reply to one call, tried again where that is safe.

    All calls only read, so a broken connection may be made anew. What is not tried again: a call whose time ran out
    (the server may be at it still), and one that was refused.

    Raises:
        RequestRefused, ServiceUnavailable: As ``_as_error``.
    """
    begun = time.monotonic()
    pause_s = 0.0
    while True:
        left_s = rules.timeout_s - (time.monotonic() - begun)
        try:
            return (yield Send(call, max(left_s, 0.001)))
        except CallFailed as error:
            waited_s = time.monotonic() - begun
            patience_s = rules.timeout_s if error.is_overload else rules.patience_s if error.is_unreachable else 0
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S) or (BUSY_PAUSE_S if error.is_overload else FIRST_PAUSE_S)
            if waited_s + pause_s >= min(patience_s, rules.timeout_s):
                raise _as_error(error, rules, call) from None
        # With chance in it, or clients that were turned away together would come again together.
        yield Pause(pause_s * random.uniform(0.5, 1.0))


def predicted(rules: Rules, model: str, images: Sequence[bytes], at: At) -> Flow[list[Answer | Refused]]:
    """An answer or a refusal for each of ``images``, in one request where the version can tell them apart."""
    try:
        outputs = cast(Outputs, (yield from answered(rules, Predict(model, at, LENIENT, tuple(images)))))
    except NotServed as error:
        # A version that was exported before there was this signature goes on serving until the next release.
        if f'"{LENIENT}" not found' not in str(error):
            raise
        return (yield from _strictly_predicted(rules, model, images, at))
    answers = _answers(outputs)
    words = [status.decode() for status in outputs.tensors.get("status", [b"ok"] * len(answers))]
    return [_judged(answer, text) for answer, text in zip(answers, words, strict=True)]


def explained(rules: Rules, model: str, image: bytes, at: At) -> Flow[Answer]:
    """The answer to one image with its heat maps.

    Raises:
        NotServed: No such model, version or label is served.
        ImageRefused: The server does not take the image; the text says why.
    """
    try:
        outputs = yield from answered(rules, Predict(model, at, EXPLAIN, (image,)))
    except RequestRefused as error:
        raise error if isinstance(error, NotServed) else ImageRefused(str(error)) from None
    return _answers(cast(Outputs, outputs))[0]


def described(rules: Rules, model: str, at: At) -> Flow[Described]:
    return cast(Described, (yield from answered(rules, Metadata(model, at))))


def listed(rules: Rules, model: str) -> Flow[tuple[ServedVersion, ...]]:
    return cast(tuple[ServedVersion, ...], (yield from answered(rules, Status(model))))


def _strictly_predicted(rules: Rules, model: str, images: Sequence[bytes], at: At) -> Flow[list[Answer | Refused]]:
    """One by one where they fail together, as a refused image fails its request."""
    try:
        outputs = cast(Outputs, (yield from answered(rules, Predict(model, at, STRICT, tuple(images)))))
        return [_with_numbers(answer) for answer in _answers(outputs)]
    except NotServed:
        raise
    except RequestRefused as error:
        if len(images) == 1:
            return [Refused(str(error))]
    answers: list[Answer | Refused] = []
    for image in images:
        answers += yield from _strictly_predicted(rules, model, [image], at)
    return answers


def _answers(outputs: Outputs) -> list[Answer]:
    tensors = outputs.tensors
    if missing := [name for name in _ALWAYS if name not in tensors]:
        raise RequestRefused(
            f"expected outputs {', '.join(_ALWAYS)}, as a model of this platform has them, found one without "
            f"{', '.join(missing)}"
        )
    typicality, unusual, maps = (tensors.get(name) for name in ("typicality", "is_unusual", "heat_maps"))
    return [
        Answer(
            labels=tuple(label.decode() for label in tensors["labels"][row]),
            probabilities=tuple(float(value) for value in tensors["probabilities"][row]),
            decisions=tuple(bool(value) for value in tensors["decisions"][row]),
            version=outputs.version,
            typicality=None if typicality is None else float(_single(typicality[row])),
            is_unusual=None if unusual is None else bool(_single(unusual[row])),
            heat_maps=None if maps is None else maps[row],
        )
        for row in range(len(tensors["probabilities"]))
    ]


def _single(value: np.ndarray) -> Any:
    """One number for an image, whether it came as (n,) or as (n, 1)."""
    return value.reshape(-1)[0] if getattr(value, "ndim", 0) else value


def _judged(answer: Answer, status: str) -> Answer | Refused:
    import dataclasses

    verdict, _, words = status.partition(": ")
    return _with_numbers(dataclasses.replace(answer, note=words)) if verdict == "ok" else Refused(words)


def _with_numbers(answer: Answer) -> Answer | Refused:
    """NaN is no probability, and its decision, 'below the threshold', no negative; JSON does not know it either."""
    if any(math.isnan(probability) for probability in answer.probabilities):
        return Refused("expected a probability of each finding, found none (NaN): the model is broken for this image")
    return answer


def _as_error(error: CallFailed, rules: Rules, call: Call) -> CxrError:
    """What a person is told, by who has to act."""
    first_line = error.text.splitlines()[0] if error.text else "no reason given"
    if error.code == "DEADLINE_EXCEEDED":
        return TimedOut(f"model server at {rules.address}: expected an answer within {rules.timeout_s:g} s, found none")
    if error.is_overload:
        return ServiceUnavailable(
            f"model server at {rules.address}: busy for {rules.timeout_s:g} s ({first_line}); ask less at a time"
        )
    if error.is_unreachable:
        return ServiceUnavailable(
            f"model server at {rules.address}: expected an answer, found none; is the stack up ('make status'), "
            "and has a model been released?"
        )
    # An unknown label or signature is answered as an argument that is not valid.
    is_unserved = error.code == "NOT_FOUND" or first_line.startswith(_UNSERVED)
    said = f"{error.code}: {first_line}"
    if is_unserved or not isinstance(call, Predict):
        return NotServed(
            f"model server at {rules.address}: expected it to serve {call.model}{_shown(call)}, found that it does not "
            f"({said}); 'cxr models' lists what there is, and the first release of a model makes its label {STABLE!r}"
        )
    return RequestRefused(said)


def _shown(call: Call) -> str:
    at = None if isinstance(call, Status) else call.at
    return "" if at is None else f" version {at}" if isinstance(at, int) else f" at label {at!r}"
