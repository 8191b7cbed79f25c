"""How a model is known to fail, in sentences made from its numbers, and what no number of it tells."""

from __future__ import annotations

from typing import Any

from cxr_tasks.contracts.labels import display_name
from cxr_tasks.evaluate.assess import record_of, served_point
from cxr_tasks.report.page.conclusion import cannot_do
from cxr_tasks.report.page.conclusion_several import several_cannot_do
from cxr_tasks.report.page.several import gap_rows

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


def failure_modes(metrics: dict[str, Any], source: str) -> list[str]:
    """Sentences, the measured ones first: errors of served decisions, worst groups, limits of the data, what stands."""
    measured = []
    for finding in metrics["findings"]:
        if metrics["by_finding"][finding]["assessable"]:
            measured += _decision_sentences(metrics, finding)
    is_one = len(metrics["findings"]) == 1
    if is_one:
        measured += _not_assessable(metrics) + _group_sentences(metrics)
    limits = cannot_do(metrics, source) if is_one else several_cannot_do(metrics, source)
    return [*measured, *limits, *STANDING]


def _decision_sentences(metrics: dict[str, Any], finding: str) -> list[str]:
    point, name = served_point(metrics, finding), display_name(finding).lower()
    if point is None:
        return []
    test = point["test"]
    n_positive, n_negative = test["n_positive"], test["n"] - test["n_positive"]
    sentences = []
    if len(metrics["findings"]) == 1:
        sentences.append(
            f"The served decision missed {test['false_negatives']} of {n_positive} test images with {name}, and called "
            f"{test['false_positives']} of {n_negative} without it."
        )
    ppv = record_of(test["metrics"], "ppv")
    if ppv["value"] is not None and ppv["value"] < LOW_PPV:
        sentences.append(
            f"Most positive calls of {name} are wrong: PPV {ppv['value']:.3f} ({ppv['lower']:.3f} to "
            f"{ppv['upper']:.3f}, n = {ppv['n']}) where {n_positive} of {test['n']} images have it."
        )
    return sentences


def _not_assessable(metrics: dict[str, Any]) -> list[str]:
    return [
        f"{display_name(one)} could not be assessed: {metrics['by_finding'][one]['reason']}. No decision is to be "
        "relied on."
        for one in metrics["findings"]
        if not metrics["by_finding"][one]["assessable"]
    ]


def _group_sentences(metrics: dict[str, Any]) -> list[str]:
    """The groups in which most is missed; with none that is clear of chance, the lowest sensitivity that was seen."""
    rows = [one for one in gap_rows(metrics) if one["sensitivity"]]
    clear = sorted((one for one in rows if one["is_clear"] and one["gap"][0] < 0), key=lambda one: one["gap"][0])
    if clear:
        return [
            f"{display_name(one['finding'])} is missed more often in the group {one['group']}: sensitivity "
            f"{_interval(one['sensitivity'])}, {one['gap'][0]:+.3f} ({one['gap'][1]:+.3f} to {one['gap'][2]:+.3f}) "
            f"against the rest, n = {one['n_positive']} positive."
            for one in clear[:WORST_GROUPS]
        ]
    firm = [one for one in rows if not one["is_weak"]]
    if not firm:
        return ["No subgroup holds enough positives to tell whether one fares worse."]
    worst = min(firm, key=lambda one: one["sensitivity"][0])
    return [
        f"No subgroup is clearly worse than the rest; the lowest sensitivity was {_interval(worst['sensitivity'])} in "
        f"the group {worst['group']} (n = {worst['n_positive']} positive)."
    ]


def _interval(share: list[float]) -> str:
    return f"{share[0]:.3f} ({share[1]:.3f} to {share[2]:.3f})"
