"""Evidence for the gate with the numbers written out; a test changes the one it is about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cxr_tasks.contracts.gate_specs import Bound, GateSpec
from cxr_tasks.gate.evidence import Evidence
from tests.evaluations import make_evaluation, make_point
from tests.evaluations import make_record as record


def make_gate(**changed: Any) -> GateSpec:
    """A floor of 0.9 for the mean AUROC and of 0.5 for the served sensitivity; five images of each class are enough."""
    given = {"mean": {"auroc": Bound(lower_at_least=0.9)}, "served": {"sensitivity": Bound(at_least=0.5)}}
    return GateSpec(**{**given, **changed})


def make_counts(n: int, n_positive: int, patients: int | None = None) -> dict[str, Any]:
    """Of a finding on test; each image of another patient, or the images of each class of ``patients``, evenly."""
    by_class = {}
    for name, images in (("positive", n_positive), ("negative", n - n_positive)):
        whose = images if patients is None else min(patients, images)
        by_class[name] = {"n": images, "n_patients": whose, "n_effective": float(whose)}
    return {"test": {"n": n, "n_positive": n_positive, "by_class": by_class}}


def make_finding(**changed: Any) -> dict[str, Any]:
    """40 positive and 60 negative test images, AUROC 0.95 (0.92 to 0.97), the served decision finds 0.9."""
    served = make_point([record("sensitivity", 0.9, 0.8, 0.95)])
    given = {
        "assessable": True,
        "reason": "",
        "counts": make_counts(100, 40),
        "metrics": {"test": [record("auroc", 0.95, 0.92, 0.97), record("auroc_patient_bootstrap", 0.95, 0.93, 0.96)]},
        "operating_points": {"target_sensitivity": served},
        "subgroups": [],
    }
    return {**given, **changed}


def make_evidence(
    by_finding: dict[str, dict[str, Any]] | None = None,
    mean: list[dict[str, Any]] | None = None,
    several: dict[str, dict[str, Any]] | None = None,
    typicality: dict[str, Any] | None = None,
    **changed: Any,
) -> Evidence:
    """Metrics of these findings (one as ``make_finding`` makes it); their mean, else that of the first; no champion."""
    found = by_finding or {"pneumonia": make_finding()}
    first = next(iter(found.values()))
    evaluation = make_evaluation(
        found,
        mean={"test": first["metrics"]["test"] if mean is None else mean},
        several=several or {},
        typicality=typicality,
    )
    return Evidence(**{"evaluation": evaluation, "predictions": pd.DataFrame(), "findings": tuple(found), **changed})


def make_scores(
    *, separation: float = 3.0, n: int = 300, seed: int = 0, noise: float = 0.0, finding: str = "pneumonia"
):
    """Validation and test scores; the same seed gives the same images, targets and scores before ``noise``."""
    rng = np.random.default_rng(seed)
    target = (rng.random(2 * n) < 0.6).astype(float)
    logit = rng.normal(size=2 * n) + separation * target
    return pd.DataFrame(
        {
            "image_id": [f"{i:05d}.png" for i in range(2 * n)],
            "patient_key": [f"{i:016x}" for i in range(2 * n)],
            "split": ["validation"] * n + ["test"] * n,
            "source": "synthetic",
            "view": "pa",
            "sex": "unknown",
            "age_years": np.nan,
            f"target_{finding}": target,
            f"logit_{finding}": logit + noise * np.random.default_rng(99).normal(size=2 * n),
        }
    )
