"""Calibration in plain words: are probabilities right, and is it the prevalence that moved or the calibration?"""

from __future__ import annotations

import math
from collections.abc import Mapping

from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.metrics import MetricRecord

#: How far the log odds may be off beyond a shift of prevalence: by 0.3 the odds are a third too high or low.
OFF = 0.3
#: Slopes between which probabilities are neither too extreme nor too timid to reason with.
SLOPES = (0.7, 1.4)
#: A shift of prevalence worth a sentence, in log odds: 0.2 is 10 % against 12 %.
SHIFT = 0.2

#: Name -> record.
ByName = Mapping[str, MetricRecord]


def is_off(records: ByName) -> bool:
    """Whether the probabilities of a finding are shown to be wrong beyond what a shift of prevalence explains."""
    return bool(_too_high(records) or _bent(records))


def calibration_sentences(finding: str, validation: ByName, test: ByName) -> list[str]:
    """What a reader must know of the probabilities of ``finding``; nothing where they are shown to be wrong in nothing.

    An evaluation of format 2 has no measure with a reference: then its calibration error is told beside the prevalence.
    """
    name = display_name(finding).lower()
    if "calibration_beyond_shift" not in test:
        return _older_form(name, test)
    sentences = [_shift_sentence(name, validation, test)]
    wrong = [sentence for sentence in (_too_high(test), _bent(test)) if sentence]
    if not _too_high(test):
        sentences.append(_few_fitted_sentence(name, validation, test))
    if wrong:
        sentences.append(
            f"The probabilities of {name} are {' and '.join(wrong)} on test: read them as a ranking, not as a risk."
        )
    return [sentence for sentence in sentences if sentence]


def _too_high(records: ByName) -> str:
    record = records.get("calibration_beyond_shift")
    if record is None or record.value is None or (record.bounds.lower <= OFF and record.bounds.upper >= -OFF):
        return ""
    factor = math.exp(abs(record.value))
    return (
        f"too {'high' if record.value < 0 else 'low'}, their odds by a factor of {factor:.1f} beyond what prevalence "
        f"explains (log odds {_interval(record)})"
    )


def _few_fitted_sentence(name: str, validation: ByName, test: ByName) -> str:
    """Probabilities that are off on test, with and without the shift of prevalence, as far as a calibration that was
    fitted on few images may be: no fault of the model, and wrong all the same."""
    large, shift = test.get("calibration_intercept"), test["prevalence_shift"]
    if large is None or large.value is None or shift.value is None:
        return ""
    ends = [end - by for end in (large.bounds.lower, large.bounds.upper) for by in (0.0, shift.value)]
    if min(ends) <= OFF and max(ends) >= -OFF:
        return ""
    n_positive = validation["prevalence"].n_positive
    fitted = f"{n_positive} positive" if n_positive is not None else "so few"
    return (
        f"The probabilities of {name} are too {'high' if large.value < 0 else 'low'} on test (calibration intercept "
        f"{_interval(large)}), no more than chance explains of a calibration fitted on {fitted} validation images: fit "
        "it on more, and read them as a ranking until then."
    )


def _bent(records: ByName) -> str:
    record = records.get("calibration_slope")
    if (
        record is None
        or record.value is None
        or (record.bounds.upper >= SLOPES[0] and record.bounds.lower <= SLOPES[1])
    ):
        return ""
    return f"too {'extreme' if record.value < 1.0 else 'timid'} (calibration slope {_interval(record)}; 1 is right)"


def _shift_sentence(name: str, validation: ByName, test: ByName) -> str:
    """Prevalence that differs is no fault of a calibration, and moves every probability all the same."""
    shift, ratio = test["prevalence_shift"], test["expected_observed"]
    if shift.value is None or (shift.bounds.lower <= SHIFT and shift.bounds.upper >= -SHIFT):
        return ""
    there, here = (records_of_split["prevalence"].bounds.value * 100 for records_of_split in (validation, test))
    return (
        f"Prevalence shift: {name} is on {here:.1f} % of the test images and was on {there:.1f} % of the validation "
        f"images that calibration was fitted on, so probabilities sum to {ratio.value:.2f} times the positives of "
        f"test ({ratio.lower:.2f} to {ratio.upper:.2f}). That alone is no fault of the calibration; where the "
        "model is used, the prevalence of that place counts."
    )


def _older_form(name: str, test: ByName) -> list[str]:
    error, prevalence = test.get("ece_after"), test.get("prevalence")
    if error is None or prevalence is None or error.value is None or prevalence.value is None:
        return []
    return [
        f"Of the probabilities of {name} only the calibration error was measured, {error.value:.3f} at a prevalence "
        f"of {prevalence.value:.3f}, which says little of a rare finding; evaluate again for intercept and slope."
    ]


def _interval(record: MetricRecord) -> str:
    return f"{record.value:+.2f}, interval {record.lower:+.2f} to {record.upper:+.2f}"
