"""The door of batch scoring: plan what is to be scored, score its parts, collect them into one table.

A job is a folder. Its list of images is written once, in parts; each part's answers are appended to a file of its own
as they come, so that whatever is killed goes on after the last answer that was written. Memory holds a part's list and
a few requests, however many images there are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from cxr_tasks.contracts.handoffs.afterwards import ScoredBatch, ScorePlan
from cxr_tasks.contracts.shapes import build
from cxr_tasks.installation.storage.files import read_json
from cxr_tasks.score.collect import collect_scores
from cxr_tasks.score.jobs import DONE, is_done, plan_scoring
from cxr_tasks.score.part import score_part
from cxr_tasks.score.request import ScoreRequest

__all__ = ["ScoreRequest", "collect_scores", "plan_scoring", "score_all", "score_part", "shares_of"]

#: Tasks that the parts are dealt to: a start of one costs seconds, and many more wait than run.
MOST_SHARES = 32


def shares_of(plan: ScorePlan, n_shares: int = MOST_SHARES) -> list[list[int]]:
    """The numbers of the parts, dealt to at most ``n_shares``, each at least one part.

    >>> from types import SimpleNamespace
    >>> shares_of(SimpleNamespace(n_parts=5), 2)
    [[0, 1, 2], [3, 4]]
    """
    n_shares = min(n_shares, plan.n_parts)
    size, longer = divmod(plan.n_parts, n_shares)
    ends = [0]
    for share in range(n_shares):
        ends.append(ends[-1] + size + (share < longer))
    return [list(range(start, end)) for start, end in itertools.pairwise(ends)]


def score_all(plan: ScorePlan, on_images: Callable[[int], None] = lambda n_images: None) -> ScoredBatch:
    """All parts, one after the other, and their table; at once where that is there already.

    Raises:
        NotServed, ServiceUnavailable, DiskFull: As ``score_part``; what is done is kept.
    """
    folder = Path(plan.folder)
    if is_done(folder):
        batch = build(ScoredBatch, read_json(folder / DONE), str(folder / DONE))
        if all(Path(table.uri).is_file() for table in (batch.parquet, batch.csv)):
            return batch
    for part in range(plan.n_parts):
        score_part(plan, part, on_images)
    return collect_scores(plan)
