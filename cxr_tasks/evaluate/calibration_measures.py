"""Is a calibrated probability right on a split? Intercept, slope, expected to observed, and what prevalence explains.

Each measure has a reference value that a right calibration has at any prevalence: intercept 0, slope 1, ratio 1. All
intervals take the images of one patient together (the sandwich of Liang & Zeger, Biometrika 73:13-22, 1986), with what
few or unequal patients ask for (``statistics.estimates.Estimate``).

Source of the measures: Van Calster et al., BMC Medicine 17:230 (2019).
"""

from __future__ import annotations

import math

import numpy as np

from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.fit_error import fit_error
from cxr_tasks.evaluate.table import Scored
from cxr_tasks.statistics.calibration import Platt, sigmoid
from cxr_tasks.statistics.estimates import Estimate, reach_of_sum
from cxr_tasks.statistics.patients import effective_number, images_each, left_by_clusters, quantile_of

#: Records of :func:`calibration_records`, in their order.
NAMES = (
    "calibration_intercept",
    "calibration_slope",
    "expected_observed",
    "prevalence_shift",
    "calibration_beyond_shift",
)


def intercept(is_positive: np.ndarray, logit: np.ndarray) -> Estimate:
    """Calibration in the large: what must be added to every calibrated logit for the mean probability to be right.

    Below 0 the probabilities are too high: at -0.69 the odds are twice too high. The maximum-likelihood intercept of a
    logistic regression with slope 1.

    Args:
        is_positive: bool ``(n,)``; both classes must be present.
        logit: Calibrated, float ``(n,)``, finite.
    """
    value = 0.0
    for _ in range(100):
        probability = sigmoid(logit + value)
        information = float((probability * (1.0 - probability)).sum())
        # Far from the solution the curve is flat and a full step would overshoot.
        step = float(np.clip((is_positive - probability).sum() / max(information, 1e-12), -2.0, 2.0))
        value += step
        if abs(step) < 1e-10:
            break
    probability = sigmoid(logit + value)
    weight = probability * (1.0 - probability)
    information = max(float(weight.sum()), 1e-300)
    return Estimate(value, (is_positive - probability) / information, weight / information)


def slope(is_positive: np.ndarray, logit: np.ndarray, patient: np.ndarray) -> tuple[float, float]:
    """Calibration slope and its variance: below 1 the probabilities are too extreme, above 1 too timid.

    Firth's penalty (Biometrika 80:27-38, 1993) keeps it finite where the images are separable, as they are for a model
    with an AUROC of 1 (Heinze & Schemper, Statistics in Medicine 21:2409-2419, 2002). There the residuals say nothing
    of the error: the variance is the larger of the sandwich's and the information's.

    Args:
        is_positive: bool ``(n,)``; both classes must be present.
        logit: Calibrated, float ``(n,)``, finite.
        patient: Number of each image's patient, int ``(n,)`` from 0 on without a gap.
    """
    # Standardised for the search, so that a flat and a steep logit are alike to it.
    centre, scale = float(logit.mean()), float(logit.std()) or 1.0
    design = np.stack([np.ones_like(logit), (logit - centre) / scale], axis=1)
    at = np.array([math.log(is_positive.mean() / (1.0 - is_positive.mean())), 0.0])
    residual, inverse, leverage = _penalised(design, is_positive, at)
    for _ in range(200):
        step = inverse @ (design.T @ residual)
        at = at + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        residual, inverse, leverage = _penalised(design, is_positive, at)
        if np.abs(step).max() < 1e-8:
            break
    error = Estimate(float(at[1]), (design * residual[:, None]) @ inverse[1], leverage, float(inverse[1, 1]))
    return float(at[1]) / scale, error.variance(patient) / scale**2


def _penalised(
    design: np.ndarray, is_positive: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals ``(n,)`` with Firth's penalty, the inverse of the information ``(k, k)``, and leverages ``(n,)``."""
    probability = sigmoid(design @ at)
    weight = probability * (1.0 - probability)
    inverse = np.linalg.inv(design.T @ (design * weight[:, None]) + 1e-10 * np.eye(design.shape[1]))
    leverage = weight * np.einsum("nk,kl,nl->n", design, inverse, design)
    return is_positive - probability + leverage * (0.5 - probability), inverse, leverage


def expected_to_observed(is_positive: np.ndarray, probability: np.ndarray) -> Estimate:
    """Logarithm of (sum of probabilities / number of positives), 0 where both are the same.

    Args:
        is_positive: bool ``(n,)``, one positive at least.
        probability: float ``(n,)`` in [0, 1], not all 0.
    """
    expected, observed = float(probability.sum()), float(is_positive.sum())
    share = probability / expected
    return Estimate(math.log(expected / observed), share - is_positive / observed, share)


def log_odds(is_positive: np.ndarray) -> Estimate:
    """Logarithm of the odds that an image is positive: of the prevalence; bool ``(n,)`` with both classes."""
    share = float(is_positive.mean())
    each = np.full(len(is_positive), 1.0 / len(is_positive))
    return Estimate(math.log(share / (1.0 - share)), each * (is_positive - share) / (share * (1.0 - share)), each)


def calibration_records(
    rows: Scored, platt: Platt | None, spec: EvaluateSpec, fitted_on: Scored | None
) -> list[MetricRecord]:
    """The records of ``NAMES`` of one finding on one split.

    ``prevalence_shift`` is the log odds of the prevalence here less those of ``fitted_on``, the split that the
    calibration comes from. Where prevalence alone differs (the same images of each class, in another proportion) the
    intercept equals it, whatever the model: it is no fault of the calibration. Where more images look ill and the
    labels follow (P(y|x) is the same), the intercept is 0. What lies beyond both is ``calibration_beyond_shift``: 0
    while the intercept is between them, and its interval reaches over that of the intercept and that of the intercept
    less the shift. Both count that the calibration was fitted on few images (:func:`fit_error`): fitted on 20 positives
    that the scores of an honest model set apart, odds are three times off by chance. The other measures are of the
    probabilities as they serve, whatever made them so. Source: Saerens, Latinne & Decaestecker, Neural Computation
    14:21-41 (2002).
    """
    reason = rows.too_few(spec.min_positives)
    if not reason and platt is None:
        reason = "no calibration: validation is not assessable"
    if reason or platt is None:
        return [_undefined(name, rows, reason) for name in NAMES]
    logit, positive, patient = platt.logits(rows.logit), rows.is_positive.astype(float), _patients(rows)
    z = _quantile(rows, patient, spec.confidence)
    about = f"sandwich by patient {spec.confidence * 100:g} %"
    large = intercept(positive, logit)
    reach = large.reach(patient, spec.confidence)
    bent, variance = slope(positive, logit, patient)
    ratio = expected_to_observed(positive, sigmoid(logit))
    wide = ratio.reach(patient, spec.confidence)
    records = [
        _record(NAMES[0], rows, large.value, large.value - reach, large.value + reach, f"slope 1, {about}"),
        _record(NAMES[1], rows, bent, bent - z * math.sqrt(variance), bent + z * math.sqrt(variance),
                f"Firth's penalty, {about}"),
        _record(NAMES[2], rows, math.exp(ratio.value), math.exp(ratio.value - wide), math.exp(ratio.value + wide),
                f"log scale, {about}"),
    ]  # fmt: skip
    if fitted_on is None or fitted_on.split == rows.split:
        why = "the prevalence that it was fitted at is not known" if fitted_on is None else "it was fitted here"
        return [*records, *(_undefined(name, rows, f"calibration: {why}") for name in NAMES[3:])]
    if missing := fitted_on.too_few(1):
        return [*records, *(_undefined(name, rows, missing) for name in NAMES[3:])]
    return [*records, *_shift_records(rows, fitted_on, large, platt, spec)]


def _quantile(rows: Scored, patient: np.ndarray, confidence: float) -> float:
    """Student's, with the degrees of freedom that are left where patients have several images each."""
    return quantile_of(confidence, left_by_clusters(effective_number(images_each(patient)), rows.n))


def _shift_records(
    rows: Scored, fitted_on: Scored, large: Estimate, platt: Platt, spec: EvaluateSpec
) -> list[MetricRecord]:
    patient, elsewhere = _patients(rows), _patients(fitted_on)
    here, there = (log_odds(scored.is_positive.astype(float)) for scored in (rows, fitted_on))
    shift = here.value - there.value
    wide = reach_of_sum([(here, patient), (there, elsewhere)], spec.confidence)
    about = f"against {fitted_on.split} ({fitted_on.n_positive} of {fitted_on.n} images)"
    # Both are measured on the same test images, and what they have in common cancels in their difference; so it does on
    # those that the calibration comes from, where it follows their prevalence.
    corrected = Estimate(large.value - shift, large.contributions - here.contributions, large.weights)
    fit = fit_error(rows, platt, large.value, fitted_on, spec.calibration)
    ends = []
    for estimate, beside in ((large, fit.alone), (corrected, fit.with_prevalence)):
        reach = reach_of_sum([(estimate, patient), (beside, elsewhere)], spec.confidence)
        ends.append((estimate.value - reach, estimate.value + reach))
    beyond = large.value - float(np.clip(large.value, min(0.0, shift), max(0.0, shift)))
    lower, upper = min(low for low, _ in ends), max(low for _, low in ends)
    kept = f"intercept {large.value:+.2f}, of which a shift of prevalence can be {shift:+.2f}"
    fitted = f"and with the error of a calibration fitted on {fitted_on.n_positive} positives"
    return [
        _record(NAMES[3], rows, shift, shift - wide, shift + wide, f"{about}, sandwich by patient"),
        _record(NAMES[4], rows, beyond, lower, upper,
                f"{kept}, with and without it {fitted}"),
    ]  # fmt: skip


def _patients(rows: Scored) -> np.ndarray:
    return np.unique(rows.patient_key, return_inverse=True)[1]


def _record(name: str, rows: Scored, value: float, lower: float, upper: float, method: str) -> MetricRecord:
    return MetricRecord(
        name=name, finding=rows.finding, split=rows.split, value=value, lower=lower, upper=upper, n=rows.n,
        n_positive=rows.n_positive, n_patients=rows.n_patients, method=method,
    )  # fmt: skip


def _undefined(name: str, rows: Scored, reason: str) -> MetricRecord:
    return MetricRecord(
        name=name, finding=rows.finding, split=rows.split, value=None, n=rows.n, n_positive=rows.n_positive,
        n_patients=rows.n_patients,
        reason=f"not assessable: {reason}",
    )  # fmt: skip
