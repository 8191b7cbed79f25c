"""A made-up model and what is served to it: undrifted days, and days on which something has changed.

The pictures are not drawn: a patient has a state, the state gives the score, and the statistics of the picture are
drawn beside it.
"""

from __future__ import annotations

import uuid

import numpy as np
import pandas as pd

from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.monitor.reference import Reference, reference_of
from tests.evaluations import make_evaluation

FINDINGS = ("pneumonia", "pleural_effusion")
PREVALENCE = {"pneumonia": 0.25, "pleural_effusion": 0.1}


def contract() -> ServingContract:
    return ServingContract(
        model_name="cxr_binary", pixels=PixelSpec(size_px=32), dataset="made", dataset_fingerprint="ab" * 32,
        recipe="made", recipe_sha256="cd" * 32,
        decisions=tuple(FindingDecision(finding=one, a=1.0, b=0.0, threshold=0.3) for one in FINDINGS),
    )  # fmt: skip


def drawn(rng: np.random.Generator, n: int, change: str = "", prevalence: float = 1.0) -> pd.DataFrame:
    """``n`` served images; ``change``: contrast, machine, inverted, line or prevalence."""
    table: dict[str, object] = {}
    if change == "prevalence":
        prevalence = 2.0
    for finding in FINDINGS:
        base = PREVALENCE[finding]
        is_positive = rng.random(n) < base * prevalence
        # Two normal scores a distance of 2 apart: the log odds of the state are linear in the score.
        score = rng.normal(np.where(is_positive, 1.0, -1.0), 1.0)
        if change == "contrast":
            score = score * 0.85
        if change == "inverted":
            score = rng.normal(0.6, 0.7, n)
        logit = 2 * score + np.log(base / (1 - base))
        probability = 1 / (1 + np.exp(-logit))
        table[f"logit_{finding}"] = logit
        table[f"target_{finding}"] = is_positive.astype(float)
        table[f"probability_{finding}"] = probability
        table[f"decision_{finding}"] = probability >= 0.3
    mean, deviation = rng.normal(0.48, 0.06, n), rng.normal(0.22, 0.02, n)
    entropy, sharpness = rng.normal(7.2, 0.25, n), np.exp(rng.normal(-6, 0.4, n))
    border, width = np.where(rng.random(n) < 0.3, rng.random(n) * 0.1, 0.0), rng.integers(900, 1100, n)
    height, flags = rng.integers(900, 1100, n), np.array([""] * n, object)
    if change == "contrast":
        deviation, sharpness = deviation * 0.8, sharpness * 0.64
    if change == "machine":
        border, height = rng.random(n) * 0.2 + 0.05, rng.integers(1200, 1300, n)
    if change == "inverted":
        mean, flags = 1 - mean, np.array(["inverted_suspected"] * n, object)
    if change == "line":
        flags = np.where(rng.random(n) < 0.85, "line_suspected", "").astype(object)
    flags = np.where(rng.random(n) < 0.002, "line_suspected", flags)
    return pd.DataFrame(
        {
            **table, "mean": mean, "deviation": deviation, "entropy": entropy, "sharpness": sharpness,
            "border_fraction": border, "width_px": width, "height_px": height, "flags": flags,
            "refused": False, "typicality": rng.random(n),
        }
    )  # fmt: skip


def reference(seed: int = 0, n: int = 1500) -> Reference:
    """Of ``n`` images, 1.25 for each patient."""
    return reference_to(drawn(np.random.default_rng(seed), n), np.arange(n) * 4 // 5)


def by_patient(
    rng: np.random.Generator, n: int, spread: float = 1.15, change: str = ""
) -> tuple[pd.DataFrame, np.ndarray]:
    """At least ``n`` images of patients who are as different as single images are, each patient's all alike.

    With the usual ``spread`` a few have many, as in NIH ChestX-ray14: 3.6 on average, 184 at most. The second value is
    the number of each image's patient.
    """
    each = np.minimum(np.maximum(np.round(rng.lognormal(0.55, spread, n)), 1), 184).astype(int)
    patient = np.repeat(np.arange(n), each)
    patient = patient[: np.searchsorted(patient, patient[n - 1], side="right")]
    return drawn(rng, n, change).iloc[patient].reset_index(drop=True), patient


def reference_to(table: pd.DataFrame, patient: np.ndarray) -> Reference:
    """Of images as ``drawn`` gives them, by the number of each image's patient."""
    n = len(table)
    ids = [f"image {number}" for number in range(n)]
    predictions = table.assign(
        image_id=ids, split=np.where(np.arange(n) < n // 2, "validation", "test"),
        patient_key=[f"patient {number}" for number in patient],
    )  # fmt: skip
    statistics = table[["mean", "deviation", "entropy", "sharpness", "border_fraction", "width_px", "height_px"]]
    return reference_of(predictions, contract(), statistics.assign(image_id=ids, flags=""), make_evaluation())


def logged(table: pd.DataFrame, time, model: str = "cxr_binary", version: int = 1) -> list[dict]:
    """Rows of the prediction log at ``time``."""
    kept = table[[name for name in table if not name.startswith(("logit_", "target_"))]]
    return [
        {
            "time": time, "request_id": str(uuid.uuid4()), "image": 0, "model": model, "version": version,
            "label": "stable", "logged_by": "server", "pixel_hash": uuid.uuid4().hex, "file_format": "PNG",
            "n_lost_before": 0, **row,
        }
        for row in kept.to_dict("records")
    ]  # fmt: skip
