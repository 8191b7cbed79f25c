"""All numbers of one model from its predictions table: the content of ``metrics.json``.

::

    format              3 (2 had no calibration intercept, slope, shift of prevalence, skill and alarm rate)
    confidence          of every interval
    findings            names, in the order of the model's outputs
    rows_sha256         which test rows the numbers are about (table.rows_sha256)
    splits.<split>      n_images, n_patients
    mean.<split>        records of the mean over findings: ``auroc``, ``auroc_patient_bootstrap``; with several findings
                        also average precision, prevalence, Brier scores and calibration errors (means.mean_records)
    several.<split>     only with several findings: ``findings`` taken together, ``micro`` records (those of the mean),
                        and the served decisions as ``served.mean`` and ``served.micro`` (means.micro_records,
                        served_records); ``subgroups`` (subgroups_together), which files of before 30 Nov 2026 lack
    multilabel_report   scikit-learn's table over all assessable findings, test split at the served decisions, as text
    by_finding.<finding>
      assessable, reason            false where validation or test has too few positives or negatives, or no threshold
                                    finds half of validation's positives (decision.choose_decision)
      counts.<split>                n, n_positive, n_patients, n_unknown; by_class (patients.class_counts)
      metrics.<split>               records: measures.measure_split
      raw_half.<split>              sensitivity and specificity at an uncalibrated probability of 0.5; decides nothing
      calibration                   method, a, b, note, reliability.<split> (bins for the diagram)
      operating_points.<name>       threshold, served, chosen_on, validation, test (operating_points.measure); the only
                                    one is ``own`` where the model brings its decisions along
      unreached_points.<name>       why validation has no such point (``target_ppv``)
      served_note                   why another point serves than the recipe asks for; empty where it is the recipe's
      classification_report         scikit-learn's, test split at the served operating point, as text
      subgroups                     AUROC, sensitivity, specificity and gaps on test (subgroups.subgroup_rows)
    serving.<finding>   a, b, threshold (probability = sigmoid(a * logit + b); positive from the threshold on),
                        operating_point, reason (why there is no chosen threshold; empty where there is)

    typicality              added by the stage: fit_sha256 ('' and a reason where nothing could be fitted), n_training,
                            n_validation, records (typicality.measure.MeasuredTypicality)

A record is a ``contracts.metrics.MetricRecord``; its interval counts its ``n_patients``. A record without them, and
``subgroups`` without ``compared``, are of before patients were counted. ``evaluate_model`` adds ``model`` (which model,
trained on what) and ``baselines`` (baselines.assess_baselines).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cxr_tasks.contracts.labels import display_name
from cxr_tasks.contracts.serving_contract import FindingDecision
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.finding import AssessedFinding, assess_finding
from cxr_tasks.evaluate.means import mean_records, micro_records, served_records
from cxr_tasks.evaluate.subgroups_together import subgroups_together
from cxr_tasks.evaluate.table import check_predictions, rows_sha256, scored
from cxr_tasks.statistics.resampling import Draws

SPLITS = ("validation", "test")


def assess(
    predictions: pd.DataFrame,
    findings: Sequence[str],
    spec: EvaluateSpec,
    index: pd.DataFrame | None = None,
    own: Mapping[str, FindingDecision] | None = None,
) -> dict[str, Any]:
    """Every number of one model, JSON-ready; see the module's first lines for its shape.

    Calibration and thresholds come from validation alone, or, for a model on a dataset it was not trained on, from
    ``own``: its decisions by finding. ``index`` (the prepared dataset's) adds the source's finer labels to the
    subgroups.

    Raises:
        DataDefect: The table's columns or values are not right.
    """
    check_predictions(predictions, findings, "predictions")
    draws = {split: _draws(predictions, split, spec) for split in SPLITS}
    found = [
        assess_finding(
            {split: scored(predictions, split, one) for split in SPLITS}, draws, predictions, spec, index,
            own=own[one] if own else None,
        )
        for one in findings
    ]  # fmt: skip
    several = len(findings) > 1
    return {
        "format": 3,
        "confidence": spec.confidence,
        "findings": list(findings),
        "rows_sha256": rows_sha256(predictions, findings),
        "splits": {split: _counts(predictions, split) for split in SPLITS},
        "mean": {
            split: plain(mean_records([one.measures[split] for one in found], split, draws[split], spec))
            for split in SPLITS
        },
        "several": {split: _several(found, split, draws[split], spec, predictions) for split in SPLITS}
        if several
        else {},
        "multilabel_report": multilabel_report(found, "test") if several else "",
        "by_finding": {one.finding: one.shown for one in found},
        "serving": {one.finding: one.serving for one in found},
    }


def served_point(metrics: Mapping[str, Any], finding: str) -> dict[str, Any] | None:
    """The served operating point of ``finding``; None where none could be chosen."""
    points = metrics["by_finding"][finding]["operating_points"]
    return next((one for one in points.values() if one["served"]), None)


def record_of(records: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """The record called ``name`` among ``records``; ``KeyError`` names it where there is none."""
    for one in records:
        if one["name"] == name:
            return one
    raise KeyError(name)


def _draws(predictions: pd.DataFrame, split: str, spec: EvaluateSpec) -> Draws:
    patients = predictions.loc[predictions["split"] == split, "patient_key"].to_numpy(str)
    return Draws.of(patients, spec.bootstrap_samples, spec.bootstrap_seed)


def _counts(predictions: pd.DataFrame, split: str) -> dict[str, int]:
    rows = predictions[predictions["split"] == split]
    return {"n_images": len(rows), "n_patients": int(rows["patient_key"].nunique())}


def _several(
    found: Sequence[AssessedFinding], split: str, draws: Draws, spec: EvaluateSpec, predictions: pd.DataFrame
) -> dict[str, Any]:
    """Findings taken together: micro ranking, the served decisions as mean and micro, and groups."""
    decided = [one.decided[split] for one in found if split in one.decided]
    if not decided:
        return {"findings": [], "micro": [], "served": {}, "subgroups": []}
    return {
        "findings": [one.rows.finding for one in decided],
        "micro": plain(micro_records(decided, split, draws, spec)),
        "served": plain(served_records(decided, split, draws, spec)),
        "subgroups": subgroups_together(decided, predictions),
    }


def multilabel_report(found: Sequence[AssessedFinding], split: str) -> str:
    """scikit-learn's table over all findings at once, at the served decisions, with its micro, macro and weighted rows.

    Only findings that can be assessed, and images whose target is known for all of those: the table needs a matrix
    without holes. Empty where there are not two such findings (one has its own table), or no such image.
    """
    decided = [one.decided[split] for one in found if one.shown["assessable"]]
    if len(decided) < 2:
        return ""
    from sklearn.metrics import classification_report

    columns = [pd.DataFrame({"y": one.rows.is_positive, "call": one.is_called}, one.rows.image_id) for one in decided]
    joined = pd.concat(columns, axis=1, join="inner", keys=[one.rows.finding for one in decided])
    if joined.empty:
        return ""
    truth, calls = (joined.xs(name, axis=1, level=1).to_numpy(bool) for name in ("y", "call"))
    names = [display_name(one.rows.finding) for one in decided]
    return str(classification_report(truth, calls, target_names=names, digits=3, zero_division=0.0))
