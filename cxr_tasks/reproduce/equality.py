"""Two evaluations of what should be one model, number by number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.handoffs.training import EpochRecord
from cxr_tasks.evaluate.flat_metrics import flat_metrics

Outcome = Literal["equal", "close", "different"]

#: Endings of the numbers that say nothing of the model.
_NOT_OF_THE_MODEL = ("_ridge_32px", "_aspect_ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One number that came out otherwise."""

    name: str
    recorded: float | None
    reproduced: float | None

    @property
    def size(self) -> float | None:
        """Signed: reproduced less recorded; None where one of the two is missing."""
        if self.recorded is None or self.reproduced is None:
            return None
        return self.reproduced - self.recorded


def differences(recorded: Evaluation, reproduced: Evaluation) -> list[Difference]:
    """Every number of two evaluations that is not the same to the last bit, in their order."""
    old, new = flat_metrics(recorded), flat_metrics(reproduced)
    return [
        Difference(name=name, recorded=old.get(name), reproduced=new.get(name))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def outcome_of(differing: list[Difference], *, same_rows: bool, tolerance: float) -> Outcome:
    """``equal``: no number differs. ``close``: no AUROC by more than ``tolerance``. Else ``different``.

    AUROCs are those of the model on validation and test, the mean and each finding's; other numbers hang on a
    threshold and jump by whole images in small splits. Scores of other rows are never close.
    """
    if not same_rows:
        return "different"
    if not differing:
        return "equal"
    sizes = [difference.size for difference in differing if is_auroc(difference.name)]
    return "close" if all(size is not None and abs(size) <= tolerance for size in sizes) else "different"


def is_auroc(name: str) -> bool:
    """Whether a flat name is an AUROC of the model itself, not the end of an interval.

    >>> [is_auroc(one) for one in ("test_auroc", "test_auroc_hernia", "test_auroc_lower", "test_auroc_ridge_32px")]
    [True, True, False, False]
    """
    kind = name.partition("_")[2]
    is_bound = name.endswith(("_lower", "_upper"))
    is_other = any(ending in name for ending in _NOT_OF_THE_MODEL)
    return (kind == "auroc" or kind.startswith("auroc_")) and not is_bound and not is_other


def first_other_epoch(recorded: list[EpochRecord], reproduced: list[EpochRecord]) -> int | None:
    """The first epoch whose losses or scores differ, or that only one history has; None where all are the same."""
    names = ("loss", "val_loss", "val_auroc", "val_score")
    for place in range(max(len(recorded), len(reproduced))):
        both = [history[place] if place < len(history) else {} for history in (recorded, reproduced)]
        if any(both[0].get(name) != both[1].get(name) for name in names):
            return place + 1
    return None
