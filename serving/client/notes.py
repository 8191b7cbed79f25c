"""A prediction log of what a client was answered, for a server that keeps none, such as ``tensorflow_model_server``.

    with PredictionNotes() as notes, CxrClient("127.0.0.1:8500", notes=notes) as client:
        client.predict("cxr_binary", "scan1.jpeg")

The rows are those of the embedded server's own log (``cxr_tasks.predictions``), marked as a client's: what other
clients ask is not among them, nor an image for which the server was not reached. Beside an embedded server, which
notes every request itself, they would be the same answers twice.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.predictions.columns import CLIENT, request_id_of
from cxr_tasks.predictions.feed import PredictionFeed
from cxr_tasks.predictions.frames import Frame, WriterSettings
from cxr_tasks.predictions.log import LogBounds, bounds_of, predictions_root
from serving.client.answers import Answer, Refused

if TYPE_CHECKING:
    from types import TracebackType

    from serving.client.calls import At

log = logging.getLogger(__name__)

#: ``on``: ``cxr score`` and ``cxr predict`` note what they are answered. Off unless set.
VARIABLE = "CXR_CLIENT_LOG"


@dataclass(frozen=True, slots=True)
class _Answered:
    model: str
    label: str
    time_s: float
    images: tuple[bytes, ...]
    answers: tuple[Answer | Refused, ...]


class PredictionNotes:
    """Takes answers from any number of threads and writes them aside; asking waits for neither disk nor writer."""

    def __init__(self, folder: Path | None = None, bounds: LogBounds | None = None, flush_s: float = 10.0) -> None:
        """``folder``: of the log; that of this installation unless named."""
        bounds = bounds or LogBounds()
        settings = WriterSettings(
            folder=str((folder or predictions_root()).absolute()), days=bounds.days, max_bytes=bounds.max_bytes,
            flush_s=flush_s,
        )  # fmt: skip
        self._feed: PredictionFeed[_Answered] = PredictionFeed(settings, _frame_of)
        self._has_complained = False

    def offer(self, model: str, at: At, images: Sequence[bytes], answers: Sequence[Answer | Refused]) -> None:
        """Take down what ``images`` were answered, in their order; an answer that names no version is left out."""
        if any(isinstance(answer, Answer) and answer.version is None for answer in answers):
            if not self._has_complained:
                log.warning(
                    "prediction log: REST does not say which version answered label %s of %s, so nothing is noted; ask "
                    "by gRPC, or for a version by number", at, model,
                )  # fmt: skip
            self._has_complained = True
            return
        label = "" if at is None else f"version {at}" if isinstance(at, int) else str(at)
        self._feed.offer(_Answered(model, label, time.time(), tuple(images), tuple(answers)), sum(map(len, images)))

    def __enter__(self) -> PredictionNotes:
        self._feed.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits."""
        self._feed.stop()


def notes_asked_for(environment: Mapping[str, str]) -> PredictionNotes | None:
    """Where ``CXR_CLIENT_LOG`` is on: notes with the bounds of the server's log; else None.

    Raises:
        ConfigurationError: It is neither ``on`` nor ``off``, or a bound of the log is no number.
    """
    word = environment.get(VARIABLE) or "off"
    if word not in ("on", "off"):
        raise ConfigurationError(f"{VARIABLE}={word}: expected on or off")
    return PredictionNotes(bounds=bounds_of(environment)) if word == "on" else None


def _frame_of(answered: _Answered, n_lost: int) -> Frame | None:
    """As a frame; None where no image was answered, as nothing then says of which findings or version they are."""
    known = next((answer for answer in answered.answers if isinstance(answer, Answer)), None)
    if known is None or known.version is None:
        return None
    n_findings = len(known.labels)
    none: tuple[float, ...] = (math.nan,) * n_findings
    each = [answer if isinstance(answer, Answer) else None for answer in answered.answers]
    return Frame(
        time_s=answered.time_s,
        request_id=request_id_of(""),
        model=answered.model,
        version=known.version,
        label=answered.label,
        logged_by=CLIENT,
        findings=known.labels,
        probabilities=tuple(none if answer is None else answer.probabilities for answer in each),
        decisions=tuple((False,) * n_findings if answer is None else answer.decisions for answer in each),
        refused=tuple(answer is None for answer in each),
        typicality=tuple(
            math.nan if answer is None or answer.typicality is None else answer.typicality for answer in each
        ),
        images=answered.images,
        n_lost_before=n_lost,
    )
