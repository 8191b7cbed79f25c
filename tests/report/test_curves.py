from __future__ import annotations

import numpy as np

from cxr_tasks.evaluate.table import Scored
from cxr_tasks.report.page.curves import precision_recall_curve, roc_curve
from cxr_tasks.statistics.scores import auroc


def rows(n: int, images_per_patient: int = 1) -> Scored:
    rng = np.random.default_rng(0)
    positive = rng.random(n) < 0.5
    return Scored(
        finding="pneumonia",
        split="test",
        is_positive=positive,
        logit=rng.normal(size=n) + 2 * positive,
        patient_key=np.array([str(i // images_per_patient) for i in range(n)]),
        image_id=np.arange(n).astype(str),
        n_unknown=0,
    )


def test_the_roc_band_holds_the_curve_and_rises():
    one = rows(200)
    found = roc_curve(one, confidence=0.95, samples=200, seed=0)
    assert np.trapezoid(found["y"], found["x"]) == np.float64(auroc(one.is_positive, one.logit))
    at_grid = np.interp(found["grid"], found["x"], found["y"])
    inside = (found["lower"] - 0.05 <= at_grid) & (at_grid <= found["upper"] + 0.05)
    assert inside.all()
    for edge in ("lower", "upper"):
        assert (np.diff(found[edge]) >= -1e-12).all()
    assert (found["lower"] <= found["upper"]).all()


def test_more_images_narrow_the_band():
    wide, narrow = (roc_curve(rows(n), confidence=0.95, samples=150, seed=0) for n in (60, 1500))
    assert np.mean(narrow["upper"] - narrow["lower"]) < 0.5 * np.mean(wide["upper"] - wide["lower"])


def test_the_precision_recall_band_ends_near_the_prevalence():
    one = rows(300, images_per_patient=3)
    found = precision_recall_curve(one, confidence=0.95, samples=200, seed=0)
    assert found["lower"][-1] < one.is_positive.mean() < found["upper"][-1]
    assert ((found["lower"] >= 0) & (found["upper"] <= 1)).all()
