from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from cxr_tasks.contracts.errors import UndefinedMetric
from cxr_tasks.contracts.evaluation.groups import ComparisonFacts
from cxr_tasks.contracts.metrics import MetricRecord
from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.statistics.intervals import wilson
from cxr_tasks.statistics.shares import Comparison, Share
from tests.evaluate.clusters import nih_shares
from tests.evaluate.formulas import newcombe


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (1, 29), (81, 263), (10, 10), (1, 1)])
@pytest.mark.parametrize("confidence", [0.95, 0.9986])
def test_with_one_image_a_patient_it_is_wilsons(hits, n, confidence):
    is_hit = np.arange(n) < hits
    share, known = Share.of(is_hit, np.random.default_rng(0).permutation(n)), wilson(hits, n, confidence)
    assert share.interval(confidence) == known
    assert (share.n_patients, share.n_effective, share.is_clustered) == (n, n, False)


def test_with_one_image_a_patient_the_difference_is_newcombes():
    is_hit, first = np.repeat([True, False, True, False], [56, 14, 48, 32]), np.arange(150) < 70
    assert Comparison.of(is_hit, np.arange(150), first, ~first).difference(0.95) == newcombe(56, 70, 48, 80, 0.95)


def test_each_image_ten_times_over_tells_no_more_than_once():
    is_hit = np.random.default_rng(0).random(200) < 0.7
    once = Share.of(is_hit, np.arange(200))
    often = Share.of(np.repeat(is_hit, 10), np.repeat(np.arange(200), 10))
    assert (often.n, often.n_patients) == (2000, 200)
    assert often.n_effective == pytest.approx(once.n_effective, rel=0.01)
    mine, known = often.interval(0.95), once.interval(0.95)
    assert mine.lower == pytest.approx(known.lower, abs=0.003)
    assert mine.method == "Wilson 95 % by patient"


@pytest.mark.parametrize("is_hit", [True, False])
def test_without_an_error_clusters_still_widen_the_bound(is_hit):
    """Nothing tells how errors go together where there are none; ten patients with ten images are no hundred images."""
    one = Share.of(np.full(100, is_hit), np.repeat(np.arange(10), 10)).interval(0.95)
    assert one.upper - one.lower > 1.5 * (wilson(100, 100, 0.95).upper - wilson(100, 100, 0.95).lower)
    assert (one.lower, one.upper)[int(is_hit)] == one.value


def test_all_images_of_one_patient_count_as_one():
    one = Share.of(np.arange(50) < 40, np.zeros(50, int))
    assert (one.n, one.n_patients) == (50, 1)
    assert one.n_effective == pytest.approx(1.0)


def test_of_nothing_there_is_none():
    with pytest.raises(UndefinedMetric):
        Share.of(np.array([], bool), np.array([], int)).interval(0.95)


@pytest.mark.parametrize(("share", "correlation"), [(0.8, 0.3), (0.8, 0.6), (0.6, 0.3), (0.9, 0.3)])
def test_intervals_cover_with_the_clusters_of_nih(share, correlation):
    """1200 splits of 600 patients: 93 to 97 % of 95 % intervals hold the truth (and 1 % of chance), Wilson's by image
    in less than 70 %."""
    rng, covered, by_image = np.random.default_rng(20261129), 0, 0
    for _ in range(1200):
        patient, is_hit = nih_shares(rng, 600, share, correlation)
        one, plain = Share.of(is_hit, patient).interval(0.95), wilson(int(is_hit.sum()), len(is_hit), 0.95)
        covered += one.lower <= share <= one.upper
        by_image += plain.lower <= share <= plain.upper
    assert 0.93 <= covered / 1200 <= 0.98
    assert by_image / 1200 < 0.70


@pytest.mark.parametrize("is_shared", [False, True])
def test_differences_of_groups_cover_with_the_clusters_of_nih(is_shared):
    """Groups of other patients (sex), and groups of which each patient may have images in both (view)."""
    rng, covered, by_image = np.random.default_rng(20261129), 0, 0
    for _ in range(1000):
        patient, is_hit = nih_shares(rng, 800, 0.8, 0.4)
        first = rng.random(len(patient)) < 0.5 if is_shared else patient % 2 == 0
        one = Comparison.of(is_hit, patient, first, ~first).difference(0.95)
        parts = (int(is_hit[first].sum()), int(first.sum()), int(is_hit[~first].sum()), int((~first).sum()))
        plain = newcombe(*parts, 0.95)
        covered += one.lower <= 0.0 <= one.upper
        by_image += plain.lower <= 0.0 <= plain.upper
    assert 0.93 <= covered / 1000 <= 0.98
    assert is_shared or by_image / 1000 < 0.75


def test_facts_are_json_and_come_back():
    rng = np.random.default_rng(1)
    patient, is_hit = nih_shares(rng, 100, 0.8, 0.4)
    first = rng.random(len(patient)) < 0.5
    one = Comparison.of(is_hit, patient, first, ~first)
    again = Comparison.of_facts(build(ComparisonFacts, json.loads(json.dumps(plain(one.facts()))), "facts"))
    assert again == one
    assert again.difference(0.999) == one.difference(0.999)
    assert Share.of_facts(Share.independent(3, 9).facts()) == Share.independent(3, 9)


def test_a_record_of_before_patients_were_counted_counts_images():
    record = MetricRecord(
        name="sensitivity", finding="mass", split="test", value=0.8, lower=0.6, upper=0.9, n=50, n_positive=40
    )
    assert Share.of_record(record) == Share.independent(40, 50)
    assert math.isinf(Share.of_record(record).freedom)
    assert Share.of_record(replace(record, value=None, reason="no images")) is None
