"""What a version is worth on the labels that came back, beside what it was registered with, and whose labels those are.

Labels that come back are a selection: often of images that were called, or of hard ones. Numbers on them are those of a
model only where the selection is as chance would make it; so each table says how the labelled images differ from all
that were served.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.evaluate.calibration_measures import intercept, slope
from cxr_tasks.labels.store import labels_in_force
from cxr_tasks.predictions.columns import decision_column, probability_column
from cxr_tasks.statistics.auroc_intervals import auroc_interval
from cxr_tasks.statistics.calibration import fit_platt
from cxr_tasks.statistics.intervals import Interval, independent_difference, z_of
from cxr_tasks.statistics.patients import patient_numbers
from cxr_tasks.statistics.shares import Share
from cxr_tasks.statistics.two_samples import kolmogorov_smirnov

if TYPE_CHECKING:
    import pandas as pd

    from cxr_tasks.monitor.reference import Reference
    from cxr_tasks.monitor.window import Served

CONFIDENCE = 0.95
#: Fewer of either class say too little.
MIN_EACH = 20
#: A new calibration is proposed only at this confidence that the old one is off: labels are measured again and again.
SURE = 0.999
#: Half the width that an interval of sensitivity or specificity shall have.
HALF_WIDTH = 0.05
Finding = Literal["worse", "as promised", "better", "too few"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveNumber:
    """A number on labels that came back, and the promised one; ``difference`` is live less promised."""

    name: str
    n: int
    value: float | None
    lower: float | None = None
    upper: float | None = None
    promised: float | None = None
    promised_lower: float | None = None
    promised_upper: float | None = None
    difference: float | None = None
    difference_lower: float | None = None
    difference_upper: float | None = None
    found: Finding = "too few"
    n_missing: int = 0
    """Labels of the class that the number is of, still missing for an interval of plus and minus ``HALF_WIDTH``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFinding:
    """One finding of one version."""

    finding: str
    n_labelled: int
    n_served: int
    n_positive: int
    n_patients: int
    """0 where no label says whose the image is. An image of which none does counts as of a patient of its own."""
    share_called_labelled: float
    share_called_served: float
    selection_p: float
    """Whether the scores of the labelled images could be drawn from all that were served."""
    numbers: tuple[LiveNumber, ...]
    calibration_only: bool
    """Ranking as promised, probabilities wrong: another calibration would mend it, another training is not needed."""
    recalibrated: tuple[float, float] | None
    """``a`` and ``b`` on the served probability's logit, where ``calibration_only``; a proposal, nothing is changed."""


def live_findings(served: Served, labels: pd.DataFrame, reference: Reference) -> list[LiveFinding]:
    """Per finding; ``labels`` as ``labels.store.all_labels``.

    A label that names a request is of the request's picture; of a request with several pictures it is of none.
    """
    image = image_of_each(served, labels)
    known = labels_in_force(labels.assign(image=image, patient_key=_patient_of_each(image, labels))[image != ""])
    known = known[known["label"].isin(["positive", "negative"])]
    rows = served.rows[served.rows["pixel_hash"] != ""].drop_duplicates("pixel_hash")
    return [_live(finding, rows, known[known["finding"] == finding], reference) for finding in reference.findings]


def image_of_each(served: Served, labels: pd.DataFrame) -> pd.Series:
    """The pixel hash of each label's picture; '' where the log does not know it."""
    return labels["pixel_hash"].where(labels["pixel_hash"] != "", _looked_up(labels["request_id"], served.image_of))


def _patient_of_each(image: pd.Series, labels: pd.DataFrame) -> pd.Series:
    """The patient of each label's picture, from any label that names one; '' where none does."""
    named = labels["patient_key"] != ""
    return _looked_up(image, dict(zip(image[named], labels["patient_key"][named], strict=True)))


def _looked_up(keys: pd.Series, words: dict[str, str]) -> pd.Series:
    return keys.map(lambda key: words.get(key, "")).astype(object)


def _live(finding: str, served: pd.DataFrame, labels: pd.DataFrame, reference: Reference) -> LiveFinding:
    served = served[served[probability_column(finding)].notna()]
    # The log has a label of its own: the one that was asked for.
    kept = served[["pixel_hash", probability_column(finding), decision_column(finding)]]
    both = kept.merge(labels[["image", "label", "patient_key"]], left_on="pixel_hash", right_on="image")
    positive = (both["label"] == "positive").to_numpy(bool)
    score = both[probability_column(finding)].to_numpy(float)
    called = both[decision_column(finding)].to_numpy(bool)
    is_of_patient = (both["patient_key"] != "").to_numpy(bool)
    keys = np.where(is_of_patient, both["patient_key"].to_numpy(str), np.arange(len(both)).astype(str))
    # All of one patient tell of that patient alone.
    enough = all(member.sum() >= MIN_EACH and len(set(keys[member])) > 1 for member in (positive, ~positive))
    numbers = [
        _auroc(positive, score, keys, reference, finding, enough),
        _share("sensitivity", called, positive, keys, reference, finding, enough),
        _share("specificity", ~called, ~positive, keys, reference, finding, enough),
    ]
    calibration = _calibration(positive, score, keys) if enough else []
    is_off = any(_is_surely_off(measure) for measure in calibration)
    only = bool(enough and is_off and numbers[0].found == "as promised")
    all_scores = np.sort(served[probability_column(finding)].to_numpy(float))
    p = kolmogorov_smirnov(all_scores, score, len(all_scores), len(score))[1] if len(score) else 1.0
    platt = fit_platt(positive, _logit(score)) if only else None
    return LiveFinding(
        finding=finding, n_labelled=len(both), n_served=len(served), n_positive=int(positive.sum()),
        n_patients=len(set(keys)) if is_of_patient.any() else 0,
        share_called_labelled=float(called.mean()) if len(called) else 0.0,
        share_called_served=float(served[decision_column(finding)].mean()) if len(served) else 0.0,
        selection_p=p, numbers=(*numbers, *calibration), calibration_only=only,
        recalibrated=(float(platt.a), float(platt.b)) if platt else None,
    )  # fmt: skip


def _auroc(
    positive: np.ndarray, score: np.ndarray, keys: np.ndarray, reference: Reference, finding: str, enough: bool
) -> LiveNumber:
    if not enough:
        missing = max(MIN_EACH - int(positive.sum()), 0) + max(MIN_EACH - int((~positive).sum()), 0)
        return LiveNumber(name="auroc", n=len(positive), value=None, n_missing=max(missing, 1))
    return _against("auroc", len(positive), auroc_interval(positive, score, CONFIDENCE, keys), reference, finding, 0)


def _share(
    name: str, is_right: np.ndarray, member: np.ndarray, keys: np.ndarray, reference: Reference, finding: str,
    enough: bool,
) -> LiveNumber:  # fmt: skip
    n = int(member.sum())
    record = reference.promised.get(finding, {}).get(name)
    promised = 0.5 if record is None or record.value is None else record.value
    share = float(is_right[member].mean()) if enough else promised
    z = z_of(CONFIDENCE)
    needed = math.ceil(z * z * max(share * (1 - share), 0.0475) / HALF_WIDTH**2)
    if not enough:
        return LiveNumber(name=name, n=n, value=None, n_missing=max(needed - n, 1))
    try:
        interval = Share.of(is_right[member], patient_numbers(keys[member])).interval(CONFIDENCE)
    except UndefinedMetric:
        return LiveNumber(name=name, n=n, value=None, n_missing=needed)
    return _against(name, n, interval, reference, finding, max(needed - n, 0))


def _against(name: str, n: int, interval: Interval, reference: Reference, finding: str, n_missing: int) -> LiveNumber:
    """The live number beside the promised one, which is of other patients: Newcombe's and Zou's difference."""
    promised = Interval.of_record(reference.promised.get(finding, {}).get(name))
    live = LiveNumber(
        name=name, n=n, value=interval.value, lower=interval.lower, upper=interval.upper, n_missing=n_missing
    )  # fmt: skip
    if promised is None:
        return live
    apart = independent_difference(interval, promised, "Zou and Donner")
    verdict: Finding = "worse" if apart.upper < 0 else "better" if apart.lower > 0 else "as promised"
    return replace(
        live, promised=promised.value, promised_lower=promised.lower, promised_upper=promised.upper,
        difference=apart.value, difference_lower=apart.lower, difference_upper=apart.upper, found=verdict,
    )  # fmt: skip


def _calibration(positive: np.ndarray, score: np.ndarray, keys: np.ndarray) -> list[LiveNumber]:
    """Intercept (0 is right) and slope (1 is right) of the served probabilities."""
    logit, patient, z = _logit(score), patient_numbers(keys), z_of(CONFIDENCE)
    shift = intercept(positive.astype(float), logit)
    steep, variance = slope(positive.astype(float), logit, patient)
    numbers = []
    for name, value, error, right in (
        ("calibration_intercept", shift.value, math.sqrt(shift.variance(patient)), 0.0),
        ("calibration_slope", steep, math.sqrt(variance), 1.0),
    ):
        if name == "calibration_slope" and np.ptp(logit) == 0:
            # Through one point goes any slope.
            numbers.append(LiveNumber(name=name, n=len(positive), value=None, n_missing=1))
            continue
        lower, upper = value - z * error, value + z * error
        verdict: Finding = "as promised" if lower <= right <= upper else "worse"
        numbers.append(
            LiveNumber(
                name=name, n=len(positive), value=value, lower=lower, upper=upper, promised=right,
                difference=value - right, difference_lower=lower - right, difference_upper=upper - right,
                found=verdict,
            )
        )  # fmt: skip
    return numbers


def _is_surely_off(number: LiveNumber) -> bool:
    if number.value is None or number.lower is None or number.difference is None:
        return False
    return abs(number.difference) > (number.value - number.lower) * z_of(SURE) / z_of(CONFIDENCE)


def _logit(probability: np.ndarray) -> np.ndarray:
    kept = np.clip(probability, 1e-7, 1 - 1e-7)
    return np.log(kept / (1 - kept))
