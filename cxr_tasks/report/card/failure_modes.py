"""How a model is known to fail, in sentences made from its numbers, and what no number of it tells."""

from __future__ import annotations

from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import Bounds, record_of
from cxr_tasks.report.page.conclusion import cannot_do
from cxr_tasks.report.page.conclusion_several import several_cannot_do
from cxr_tasks.report.page.gaps import clearly_missed, gap_rows

#: Fewer right calls than this among a finding's positive calls, and the model is mostly wrong where it calls.
LOW_PPV = 0.5
#: Groups named per finding.
WORST_GROUPS = 2
#: What holds for every model of this platform.
STANDING = (
    "A picture that is no frontal chest X-ray gets a probability all the same: nothing refuses a lateral view, another "
    "body part or a photograph of a screen.",
    "Only the findings listed here are looked for; an image called negative may show any other disease.",
    "One image is read at a time, without earlier images, reports or anything else that is known of the patient.",
    "Foreign bodies, other machines, other processing and other ages than those in the data change scores in ways that "
    "were not measured.",
)


def failure_modes(evaluation: Evaluation, source: str) -> list[str]:
    """Sentences, the measured ones first: errors of served decisions, worst groups, limits of the data, what stands."""
    measured = []
    for finding in evaluation.findings:
        if evaluation.by_finding[finding].assessable:
            measured += _decision_sentences(evaluation, finding)
    is_one = len(evaluation.findings) == 1
    if is_one:
        measured += _not_assessable(evaluation) + _group_sentences(evaluation)
    limits = cannot_do(evaluation, source) if is_one else several_cannot_do(evaluation, source)
    return [*measured, *limits, *STANDING]


def _decision_sentences(evaluation: Evaluation, finding: str) -> list[str]:
    point, name = evaluation.served_point(finding), display_name(finding).lower()
    if point is None:
        return []
    test = point.test
    n_positive, n_negative = test.n_positive, test.n - test.n_positive
    sentences = []
    if len(evaluation.findings) == 1:
        sentences.append(
            f"The served decision missed {test.false_negatives} of {n_positive} test images with {name}, and called "
            f"{test.false_positives} of {n_negative} without it."
        )
    ppv = record_of(test.metrics, "ppv")
    if ppv.value is not None and ppv.value < LOW_PPV:
        sentences.append(
            f"Most positive calls of {name} are wrong: PPV {ppv.value:.3f} ({ppv.lower:.3f} to "
            f"{ppv.upper:.3f}, n = {ppv.n}) where {n_positive} of {test.n} images have it."
        )
    return sentences


def _not_assessable(evaluation: Evaluation) -> list[str]:
    return [
        f"{display_name(finding)} could not be assessed: {measured.reason}. No decision is to be relied on."
        for finding, measured in evaluation.by_finding.items()
        if not measured.assessable
    ]


def _group_sentences(evaluation: Evaluation) -> list[str]:
    """The groups in which most is missed; with none that is clear of chance, the lowest sensitivity that was seen."""
    rows = gap_rows(evaluation)
    if clear := clearly_missed(rows):
        return [
            f"{display_name(row.finding)} is missed more often in the group {row.group}: sensitivity "
            f"{_interval(row.sensitivity)}, {gap.value:+.3f} ({gap.lower:+.3f} to {gap.upper:+.3f}) against the rest, "
            f"n = {row.n_positive} positive."
            for row, gap in clear[:WORST_GROUPS]
        ]
    firm = [(row.sensitivity.value, row) for row in rows if row.sensitivity is not None and not row.is_weak]
    if not firm:
        return ["No subgroup holds enough positives to tell whether one fares worse."]
    _, worst = min(firm, key=lambda pair: pair[0])
    return [
        f"No subgroup is clearly worse than the rest; the lowest sensitivity was {_interval(worst.sensitivity)} in "
        f"the group {worst.group} (n = {worst.n_positive} positive)."
    ]


def _interval(share: Bounds | None) -> str:
    return f"{share.value:.3f} ({share.lower:.3f} to {share.upper:.3f})" if share else "not known"
