"""What decides on one finding: calibration and thresholds from validation, and which of the thresholds serves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.serving_contract import FindingDecision
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.operating_points import THRESHOLD_RANGE, choose_thresholds, ppv_threshold
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.calibration import Platt, fit_calibration

#: A served decision finds at least this share of validation's positives, whatever the recipe asks for.
LEAST_FOUND = 0.5
#: Reaches its target wherever a threshold can, and no recipe may ask for a target below ``LEAST_FOUND``.
SAFE_POINT = "target_sensitivity"


@dataclass(frozen=True, slots=True)
class Decision:
    """What decides: calibration, thresholds by operating point, and which of them serves."""

    platt: Platt
    thresholds: dict[str, float]
    served: str
    chosen_on: str
    unreached: dict[str, str]
    """Operating point -> why validation has none of that name."""
    note: str = ""
    """Why another point serves than the recipe asks for; empty where it is the recipe's."""


def choose_decision(validation: Scored, spec: EvaluateSpec, own: FindingDecision | None = None) -> Decision:
    """Calibration and thresholds from ``validation``; the served one finds ``LEAST_FOUND`` of its positives or more.

    Youden's index and F1 can be highest where next to nothing is called (a few positives on top of a ranking that is
    else no better than chance). Then the target sensitivity's threshold serves instead, and ``note`` says so.

    ``own`` is the decision that a model brings along to another dataset: then nothing is chosen here.

    Raises:
        UndefinedMetric: Validation has too few images of a class, or no threshold that a float32 holds finds enough.
    """
    if own is not None:
        platt = Platt(own.a, own.b, method="The model's own calibration,")
        where = "the validation split that the model was trained with"
        return Decision(platt, {"own": own.threshold}, "own", where, {})
    if reason := validation.too_few(spec.min_positives):
        raise UndefinedMetric(reason)
    platt = fit_calibration(validation.is_positive, validation.logit, spec.calibration)
    thresholds, unreached = _thresholds(validation, platt, spec)
    served: str = spec.served_operating_point
    note = ""
    positives = platt.probabilities(validation.logit[validation.is_positive])
    n_found = int((positives >= thresholds[served]).sum())
    if n_found < LEAST_FOUND * len(positives):
        note = (
            f"{served} would find {n_found} of {len(positives)} positive validation images, less than "
            f"{LEAST_FOUND * 100:g} %: the threshold of sensitivity {spec.target_sensitivity:g} serves instead"
        )
        served = SAFE_POINT
    if np.mean(positives >= thresholds[served]) < LEAST_FOUND:
        raise UndefinedMetric(
            f"no threshold from {THRESHOLD_RANGE[0]:g} on finds {LEAST_FOUND * 100:g} % of the positive validation "
            f"images of {validation.finding}: their calibrated probabilities are down to {positives.min():.3g}"
        )
    return Decision(platt, thresholds, served, "validation", unreached, note)


def _thresholds(validation: Scored, platt: Platt, spec: EvaluateSpec) -> tuple[dict[str, float], dict[str, str]]:
    """Threshold of each operating point, and why there is none for those that validation does not reach."""
    logits = platt.logits(validation.logit)
    thresholds = choose_thresholds(validation.is_positive, logits, spec.target_sensitivity)
    if spec.target_ppv is None:
        return thresholds, {}
    threshold, reason = ppv_threshold(validation.is_positive, logits, spec.target_ppv, spec.min_positives)
    if threshold is None:
        return thresholds, {"target_ppv": reason}
    return {**thresholds, "target_ppv": threshold}, {}
