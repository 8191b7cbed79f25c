from __future__ import annotations

import numpy as np

from cxr_tasks.evaluate.table import Scored
from cxr_tasks.report.page.curves import GRID, precision_recall_curve, roc_curve
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
    scored = rows(200)
    curve = roc_curve(scored, confidence=0.95, samples=200, seed=0)
    assert np.trapezoid(curve.y, curve.x) == np.float64(auroc(scored.is_positive, scored.logit))
    at_grid = np.interp(GRID, curve.x, curve.y)
    inside = (curve.lower - 0.05 <= at_grid) & (at_grid <= curve.upper + 0.05)
    assert inside.all()
    for edge in (curve.lower, curve.upper):
        assert (np.diff(edge) >= -1e-12).all()
    assert (curve.lower <= curve.upper).all()


def test_more_images_narrow_the_band():
    wide, narrow = (roc_curve(rows(n), confidence=0.95, samples=150, seed=0) for n in (60, 1500))
    assert np.mean(narrow.upper - narrow.lower) < 0.5 * np.mean(wide.upper - wide.lower)


def test_the_precision_recall_band_ends_near_the_prevalence():
    scored = rows(300, images_per_patient=3)
    curve = precision_recall_curve(scored, confidence=0.95, samples=200, seed=0)
    assert curve.lower[-1] < scored.is_positive.mean() < curve.upper[-1]
    assert ((curve.lower >= 0) & (curve.upper <= 1)).all()
