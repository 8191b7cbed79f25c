from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from expectations.information import binned, mutual_information, shortcut_table
from tests.builders import manifest_table


@pytest.mark.parametrize(
    ("bins", "is_present", "bits", "freedom"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], 1.0, 1),  # the property is the label
        ([0, 1, 0, 1], [0, 0, 1, 1], 0.0, 1),  # independent
        ([7, 7, 7, 7], [0, 0, 1, 1], 0.0, 0),  # one value tells nothing
        ([0, 1, 2, 3], [0, 0, 0, 1], 0.8113, 3),  # as much as there is to know: the entropy of 1 in 4
        ([0, 0, 0, 1], [0, 1, 1, 1], 0.1226, 1),  # by hand: 1/4 log2(4/3) + 2/4 log2(8/9) + 1/4 log2(4/3)
        ([], [], 0.0, 0),
    ],
)
def test_mutual_information_of_known_tables(bins, is_present, bits, freedom):
    found = mutual_information(np.array(bins, int), np.array(is_present, bool))
    assert found == (pytest.approx(bits, abs=1e-4), freedom)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=60))
def test_mutual_information_is_the_g_statistic_per_image(pairs):
    bins, is_present = np.array([one for one, _ in pairs]), np.array([one for _, one in pairs])
    bits, freedom = mutual_information(bins, is_present)
    result = chi2_contingency(pd.crosstab(bins, is_present), correction=False, lambda_="log-likelihood")
    assert 2 * len(pairs) * np.log(2) * bits == pytest.approx(result.statistic, abs=1e-8)
    assert freedom == result.dof


def test_numbers_are_binned_by_frequency_words_by_themselves_and_missing_values_apart():
    skewed = binned(pd.Series(np.geomspace(1, 1e6, 1000)))
    assert np.bincount(skewed).tolist() == [100] * 10
    assert len(set(binned(pd.Series(["L", "RGB", "L"])))) == 2
    assert len(set(binned(pd.Series([8, 16, 8])))) == 2
    with_gap = binned(pd.Series([float("nan"), *range(100)]))
    assert (with_gap == with_gap[0]).sum() == 1


def make_table(n, **columns):
    rng = np.random.default_rng(5)
    is_ill = np.arange(n) % 2 == 0
    looks = {name: rng.uniform(0.2, 0.4, n) for name in ("mean", "deviation", "sharpness", "border_fraction")}
    sizes = {name: rng.integers(200, 400, n) for name in ("width_px", "height_px")}
    labels = np.where(is_ill, "positive", "negative")
    return manifest_table(n, **looks | sizes | {"label_pneumonia": labels} | columns), is_ill


def shares(table, column="share_beyond_chance"):
    found = shortcut_table(table, ["pneumonia"])
    return dict(zip(found["property"], found[column], strict=True))


def test_unrelated_properties_tell_nothing_beyond_chance_however_small_the_table():
    for n in (20, 100, 2000):
        table, _ = make_table(n)
        assert max(shares(table).values()) == 0.0


def test_the_bias_of_a_small_table_is_taken_off():
    table, _ = make_table(200)
    plain, _ = mutual_information(binned(table["mean"]), (table["label_pneumonia"] == "positive").to_numpy())
    # Expected of unrelated data: 9 degrees of freedom / (2 n ln 2) = 0.032 bits.
    assert plain > 0.015
    assert shares(table, "bits")["mean"] == pytest.approx(max(plain - 9 / (2 * 200 * np.log(2)), 0), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "of_ill", "of_others"),
    [("mode", "RGB", "L"), ("file_format", "JPEG", "PNG"), ("bit_depth", 16, 8), ("border_fraction", 0.3, 0.0)],
)
def test_a_property_that_is_the_label_tells_nearly_all_of_it(name, of_ill, of_others):
    table, is_ill = make_table(1000)
    found = shares(table.assign(**{name: np.where(is_ill, of_ill, of_others)}))
    assert found[name] > 0.98
    assert max(share for other, share in found.items() if other != name) == 0.0


def test_size_and_shape_are_told_apart():
    table, is_ill = make_table(1000)
    larger = table.assign(width_px=table["width_px"] * (1 + is_ill), height_px=table["height_px"] * (1 + is_ill))
    found = shares(larger)
    assert found["size"] > 0.5
    assert found["aspect_ratio"] == 0.0


def test_images_of_one_patient_count_once():
    rng = np.random.default_rng(6)
    n_patients, each = 40, 10
    ill, machine = (np.repeat(rng.integers(0, 2, n_patients), each) for _ in range(2))
    table, _ = make_table(
        n_patients * each,
        patient_id=np.repeat([f"p{number}" for number in range(n_patients)], each),
        label_pneumonia=np.where(ill, "positive", "negative"),
        mode=np.where(machine, "RGB", "L"),
    )
    assert shares(table)["mode"] == 0.0
    # The same table, taken as 400 patients, would say otherwise.
    alone = shares(table.assign(patient_id=table["image_id"]))
    assert alone["mode"] >= shares(table)["mode"]


def test_uncertain_labels_are_left_out_and_unmentioned_ones_are_absent():
    table, _ = make_table(900, label_pneumonia=["positive", "unmentioned", "uncertain"] * 300)
    found = shortcut_table(table, ["pneumonia"])
    assert set(found["n_images"]) == {600}


def test_a_label_of_one_class_and_missing_columns_have_nothing_to_tell():
    table, _ = make_table(50, label_pneumonia="negative")
    assert set(shares(table, "bits").values()) == {0.0}
    narrow = shortcut_table(table.drop(columns=["mode", "width_px"]), ["pneumonia", "edema"])
    assert set(narrow["finding"]) == {"pneumonia"}
    assert {"mode", "size", "aspect_ratio"}.isdisjoint(narrow["property"])
