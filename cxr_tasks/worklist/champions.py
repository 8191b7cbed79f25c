"""Requests for the release of a champion, made as soon as the alias has moved, whoever moved it."""

from __future__ import annotations

from collections.abc import Mapping

from cxr_tasks.worklist.request import Request, Wanted
from cxr_tasks.worklist.store import Worklist


def ask_for_release(
    worklist: Worklist, model: str, version: int, identity: Mapping[str, str] | None = None
) -> tuple[Request, bool]:
    """The request to release a champion, and whether it is new: one that is under way is enough, however long it takes.

    One that has ended without the champion being dealt with is followed by another.

    Args:
        identity: Of which MLflow run the champion is; of another run under the same number it is another champion, with
            a release of its own.
    """
    wanted = Wanted(
        kind="release",
        key=f"champion:{model}:{version}:{worklist.n_of('release', model, version) + 1}",
        model=model,
        version=version,
        identity=identity or {},
        conf={"model": model, "version": version},
        source="alias champion was moved",
        parent=_approval(worklist, model, version),
    )
    return worklist.add(wanted, unless_open=True)


def _approval(worklist: Worklist, model: str, version: int) -> int | None:
    """The request whose question was answered with this champion; None where the alias was moved by hand."""
    asked = worklist.listing(kind="promotion", model=model, version=version, limit=20)
    for request in reversed(asked):
        is_answered = request.state == "started" or (request.state == "done" and request.result.startswith(APPROVED))
        if is_answered and not any(after.kind == "release" for after in worklist.following(request.number)):
            return request.number
    return None


#: How ``cxr_promote`` tells of an approval.
APPROVED = "approved"
