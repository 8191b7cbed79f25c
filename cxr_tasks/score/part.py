"""One part of a job: its images asked for, and each answer written before the next is waited for."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NotRequired, TypedDict

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.afterwards import ScoredPart, ScorePlan
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.space import room_for
from cxr_tasks.score.jobs import PARTS
from cxr_tasks.score.listing import opened_path, read_part
from serving.client import Answer, CxrClient, NotServed, Refused
from serving.client.notes import notes_asked_for

#: A server that is started again is back within seconds; one that is released to never goes.
PATIENCE_S, TIMEOUT_S = 120.0, 120.0
#: Requests at a time: enough to keep a server's cores busy while this process reads and writes.
N_AT_ONCE = 4


class FileAnswer(TypedDict):
    """A line of answers: of one file, what the model said or why there is no answer."""

    file: str
    error: NotRequired[str]
    labels: NotRequired[tuple[str, ...]]
    probabilities: NotRequired[list[float]]
    """Calibrated, in [0, 1], in the order of ``labels``."""
    decisions: NotRequired[tuple[bool, ...]]
    note: NotRequired[str]
    typicality: NotRequired[float]
    is_unusual: NotRequired[bool]


def score_part(plan: ScorePlan, part: int, on_images: Callable[[int], None] = lambda n_images: None) -> ScoredPart:
    """Score what is not yet scored of a part.

    Answers go to ``parts/NNNNN.answers``, a JSON line each in the order of the list; a line that a killed process left
    half written is written anew. So no image is in the result twice, and only those that were under way when a process
    was killed are asked for again.

    Args:
        on_images: Told how many were done, those of an earlier try at once.

    Raises:
        NotServed: The version serves no more. What is done is kept.
        ServiceUnavailable: The server does not answer for ``PATIENCE_S``, or somebody else scores this part.
        DiskFull: There is no room for answers.
    """
    folder = Path(plan.folder) / PARTS
    files = read_part(folder, part)
    path = answers_path(folder, part)
    with file_lock(path.with_suffix(".lock"), what=f"part {part} of {plan.folder}", purpose="it is scored", wait_s=0):
        n_before = whole_lines(path)
        if n_before > len(files):
            raise DataDefect(f"{path}: expected at most {len(files)} answers, found {n_before}; score anew (--new)")
        on_images(n_before)
        with (
            room_for("scoring", folder=folder),
            open(path, "ab") as stream,
            notes_asked_for(os.environ) or contextlib.nullcontext() as notes,
            CxrClient(plan.address, timeout_s=TIMEOUT_S, patience_s=PATIENCE_S, notes=notes) as client,
        ):
            for line in _answer_lines(client, plan, files[n_before:]):
                stream.write(line)
                stream.flush()
                on_images(1)
            os.fsync(stream.fileno())
    return ScoredPart(part=part, n_images=len(files), n_before=n_before)


def answers_path(folder: Path, part: int) -> Path:
    return folder / f"{part:05}.answers"


def read_answers(folder: Path, part: int) -> Iterator[FileAnswer]:
    """The answers of a part, one by one; a part that was never scored has none."""
    try:
        with open(answers_path(folder, part), encoding="utf-8") as stream:
            for line in stream:
                yield json.loads(line)
    except FileNotFoundError:
        return


def whole_lines(path: Path) -> int:
    """How many lines of ``path`` are whole; what follows the last of them is cut off."""
    n_lines = n_bytes = 0
    try:
        with open(path, "r+b") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                n_lines, n_bytes = n_lines + 1, n_bytes + len(line)
            stream.truncate(n_bytes)
    except FileNotFoundError:
        return 0
    return n_lines


def _answer_lines(client: CxrClient, plan: ScorePlan, files: list[str]) -> Iterator[bytes]:
    images = (opened_path(Path(plan.source), path) for path in files)
    try:
        answers = client.predict_many(plan.model_name, images, at=plan.version, n_at_once=N_AT_ONCE)
        for file, answer in zip(files, answers, strict=True):
            yield json.dumps(_said(file, answer), separators=(",", ":")).encode() + b"\n"
    except NotServed as error:
        raise NotServed(
            f"{plan.model_name} version {plan.version}: expected it to serve until all is scored, found that it "
            f"does not ({error}); what is done is kept. Score anew with the version that serves now, or release this "
            "one again and go on"
        ) from None


def _said(file: str, answer: Answer | Refused) -> FileAnswer:
    if isinstance(answer, Refused):
        return {"file": file, "error": answer.reason}
    # float32 in seven digits: what the model gave, and a third of the bytes.
    said: FileAnswer = {
        "file": file,
        "labels": answer.labels,
        "probabilities": [_short(probability) for probability in answer.probabilities],
        "decisions": answer.decisions,
    }
    if answer.note:
        said["note"] = answer.note
    if answer.typicality is not None:
        said["typicality"] = _short(answer.typicality)
    if answer.is_unusual is not None:
        said["is_unusual"] = answer.is_unusual
    return said


def _short(value: float) -> float:
    return float(f"{value:.9g}")
