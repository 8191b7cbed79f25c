"""Which findings and test images are worth looking at: best and worst ranked, hits and misses, sure and close calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.metrics import record_of
from cxr_tasks.evaluate.table import Scored

#: Of more findings than this, examples are shown of this many.
MOST_FINDINGS = 4
KINDS = ("true_positive", "false_positive", "false_negative", "true_negative")
MOST_CONFIDENT, NEAR_THRESHOLD = "most confident", "nearest the threshold"


@dataclass(frozen=True, slots=True)
class Chosen:
    """One test image and why it is shown."""

    image_id: str
    kind: str
    why: str
    probability: float


def choose_findings(evaluation: Evaluation, most: int = MOST_FINDINGS) -> tuple[list[str], str]:
    """The findings to show examples of, in the order of the metrics, and the rule that chose them, for the page.

    All that can be assessed, or, of more than ``most``, half of that from either end of the test AUROC: where the
    model is strongest it should look at the right place, where it is weakest the maps may tell why.
    """
    by_finding = evaluation.by_finding
    serving = evaluation.serving
    served = [finding for finding in evaluation.findings if serving[finding].operating_point is not None]
    assessable = [finding for finding in served if by_finding[finding].assessable]
    if len(assessable) <= most and len(served) <= most:
        return served, ""
    aurocs = {finding: record_of(by_finding[finding].metrics["test"], "auroc").bounds.value for finding in assessable}
    ranked = sorted(assessable, key=lambda finding: (-aurocs[finding], finding))
    half = most // 2
    chosen = {*ranked[:half], *ranked[len(ranked) - min(half, len(ranked)) :]}
    rule = (
        f"Of {len(evaluation.findings)} findings, examples are shown of the {half} with the highest and the {half} "
        "with the lowest test AUROC, one image of each kind: the one called with most confidence."
    )
    return [finding for finding in evaluation.findings if finding in chosen], rule


def choose_examples(
    rows: Scored, probability: np.ndarray, threshold: float, *, n_confident: int = 2, n_near: int = 1
) -> list[Chosen]:
    """Up to ``n_confident + n_near`` images of each kind, in the order of ``KINDS``.

    A confident mistake says more than a close call, so both are shown. Each patient is shown once per kind; ties go
    by image id, so the same table gives the same choice.

    Args:
        probability: calibrated, shape ``(n,)``, of ``rows``.
        threshold: an image from it on is called positive.
    """
    is_called = probability >= threshold
    member = {
        "true_positive": rows.is_positive & is_called,
        "false_positive": ~rows.is_positive & is_called,
        "false_negative": rows.is_positive & ~is_called,
        "true_negative": ~rows.is_positive & ~is_called,
    }
    distance = np.abs(probability - threshold)
    chosen: list[Chosen] = []
    for kind in KINDS:
        places = sorted(np.flatnonzero(member[kind]).tolist(), key=lambda at: (distance[at], rows.image_id[at]))
        shown: set[str] = set()
        for why, order, count in (
            (MOST_CONFIDENT, places[::-1], n_confident),
            (NEAR_THRESHOLD, places, n_near),
        ):
            taken = _first_of_new_patients(order, rows.patient_key, shown, count)
            chosen += [Chosen(str(rows.image_id[at]), kind, why, float(probability[at])) for at in taken]
    return chosen


def _first_of_new_patients(order: list[int], patient_key: np.ndarray, shown: set[str], count: int) -> list[int]:
    rows: list[int] = []
    for at in order:
        if len(rows) == count:
            break
        if patient_key[at] not in shown:
            shown.add(patient_key[at])
            rows.append(at)
    return rows
