from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.validate.drift import count_table, drift_table, verdict_of
from cxr_tasks.validate.profile import profile_of
from tests.builders import manifest_table

BOUNDS = {"some": 0.1, "strong": 0.25}


def make_profile(n=1000, seed=0, shift=0.0, **columns):
    rng = np.random.default_rng(seed)
    values = {
        "mean": rng.normal(0.5, 0.05, n) + shift,
        "deviation": rng.normal(0.2, 0.02, n),
        "age_years": rng.uniform(1, 90, n),
        "label_pneumonia": rng.choice(["positive", "negative"], n, p=[0.3, 0.7]),
        "sex": rng.choice(["female", "male"], n),
    }
    return profile_of(manifest_table(n, **values | columns), "made", "pneumonia")


def by_property(reference, profile):
    return drift_table(reference, profile).set_index("property")


def test_a_profile_has_not_moved_from_itself():
    profile = make_profile()
    table = drift_table(profile, profile)
    assert {"label pneumonia", "view", "sex", "mean", "sharpness", "age_years"} <= set(table["property"])
    assert table[["psi", "jensen_shannon", "raw_psi"]].to_numpy().max() == 0.0
    assert verdict_of(table, **BOUNDS) == "none"


@pytest.mark.parametrize("n", [30, 200, 5000])
def test_two_samples_of_one_distribution_show_no_drift_however_small(n):
    table = drift_table(make_profile(n, seed=1), make_profile(n, seed=2))
    assert table["raw_psi"].max() > 0
    assert verdict_of(table, **BOUNDS) == "none"


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("mean", {"shift": 0.15}),
        ("label pneumonia", {"label_pneumonia": ["positive"] * 800 + ["negative"] * 200}),
        ("sex", {"sex": ["female"] * 950 + ["male"] * 50}),
        ("view", {"view": "ap"}),  # a word never seen before
        ("age_years", {"age_years": float("nan")}),  # known before, unknown now
        ("width_px", {"width_px": 2048}),
        ("mode", {"mode": ["RGB"] * 500 + ["L"] * 500}),
    ],
)
def test_what_moved_is_told_and_nothing_else(name, columns):
    table = by_property(make_profile(seed=1), make_profile(seed=2, **columns))
    assert table.loc[name, "psi"] > 0.25
    assert table.loc[name, "jensen_shannon"] > 0.2
    assert table.drop(index=name)["psi"].max() < 0.1
    assert verdict_of(table.reset_index(), **BOUNDS) == "strong"


def test_a_small_change_is_some_drift():
    table = by_property(make_profile(5000, seed=1), make_profile(5000, seed=2, shift=0.02))
    assert 0.1 < table.loc["mean", "psi"] < 0.25
    assert verdict_of(table.reset_index(), **BOUNDS) == "some"


def test_before_and_now_are_described():
    table = by_property(make_profile(view=["pa"] * 900 + ["ap"] * 100), make_profile(view="ap"))
    assert table.loc["view", "before"] == "pa 0.9, ap 0.1"
    assert table.loc["view", "now"] == "ap 1"
    assert table.loc["mean", "before"].startswith("quartiles 0.4")
    unknown = by_property(make_profile(), make_profile(age_years=float("nan")))
    assert unknown.loc["age_years", "now"] == "unknown"


def test_what_only_one_side_holds_or_measured_otherwise_is_not_compared():
    reference, profile = make_profile(), make_profile()
    del reference["words"]["view"]
    reference["labels"]["edema"] = {"positive": 5}
    reference["statistics"]["mean"] = {"edges": [0.5], "counts": [500, 500], "n_unknown": 0}
    compared = set(drift_table(reference, profile)["property"])
    assert compared.isdisjoint({"view", "label edema", "mean"})
    assert "deviation" in compared


def test_counts_are_put_beside_each_other_and_empty_ones_left_out():
    table = count_table(make_profile(400), make_profile(100))
    assert table.to_dict("list") == {
        "count_of": ["images", "patients", "images in train"],  # no images in validation and test before
        "before": [400, 400, 400],
        "now": [100, 100, 100],
        "ratio": [0.25, 0.25, 0.25],
    }
