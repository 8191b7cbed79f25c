from __future__ import annotations

import json
from statistics import NormalDist

import numpy as np
import pytest

from cxr_tasks.contracts.evaluation.groups import StratifiedFacts
from cxr_tasks.contracts.shapes import build, plain
from cxr_tasks.statistics.stratified import StratifiedDifference, Stratum, stratified_difference

NORMAL = NormalDist()


def stratum(one, other):
    """Hits of images of different patients, first those of one side, then those of the other."""
    hits, is_one = np.array([*one, *other], bool), np.arange(len(one) + len(other)) < len(one)
    return Stratum(hits, np.arange(len(hits)), is_one, ~is_one)


def test_each_stratum_weighs_as_mantel_and_haenszel_say():
    """4 images against 12 weigh 3, 2 against 2 weigh 1: (3 (0.5 - 0.75) + 1 (0.5 - 1)) / 4."""
    found = stratified_difference(
        [stratum([1, 1, 0, 0], [1] * 9 + [0] * 3), stratum([1, 0], [1, 1])],
    )
    assert found.value == pytest.approx(-0.3125)
    assert (found.n_strata, found.n) == (2, (6, 14))


def test_another_mix_of_findings_is_no_gap():
    """One group has mostly the finding that is hard to see: pooled it is 0.24 worse, finding by finding it is alike."""
    hard, easy = [1] * 4 + [0] * 6, [1] * 9 + [0]
    found = stratified_difference([stratum(hard * 4, hard), stratum(easy, easy * 4)])
    assert found.value == pytest.approx(0.0)


def test_a_side_that_is_empty_or_of_one_patient_says_nothing():
    assert stratified_difference([]) is None
    assert stratified_difference([stratum([], [1, 0])]) is None
    alone = Stratum(
        np.array([1, 0, 1, 0], bool), np.array([0, 0, 1, 2]), *(np.array([1, 1, 0, 0]) == i for i in (1, 0))
    )
    assert stratified_difference([alone]) is None


def test_single_images_in_many_strata_have_an_error():
    """Around their own share, which they are, they would have none."""
    strata = [
        Stratum(np.array([i % 2, 1, 1, 0, 1], bool), np.array([i, 90, 91, 92, 93]), np.arange(5) < 1, np.arange(5) > 0)
        for i in range(14)
    ]
    found = stratified_difference(strata)
    assert found.value == pytest.approx(-0.25)
    assert found.error == pytest.approx(np.sqrt(0.25 / 14 + 0.1875 / 4), rel=0.3)


def test_a_few_images_without_an_error_are_not_sure_of_it():
    """Of 20 images with a share of 0.9, in 12 % of all cases none is missed."""
    many, few = [1] * 180 + [0] * 20, [1] * 20
    for one, other in ((many, few), (few, many)):
        interval = stratified_difference([stratum(one, other)]).interval(0.997)
        assert interval.lower < 0.0 < interval.upper


def test_no_group_is_called_worse_as_the_few_outside_it_are_lucky():
    rng, n_worse = np.random.default_rng(8), 0
    for _ in range(400):
        hits = rng.random((10, 52)) < 0.9
        strata = [
            Stratum(one, np.arange(52) + 52 * i, np.arange(52) < 50, np.arange(52) >= 50) for i, one in enumerate(hits)
        ]
        n_worse += stratified_difference(strata).interval(0.997).upper < 0.0
    assert n_worse <= 4


def test_it_is_written_and_read_unchanged():
    found = stratified_difference([stratum([1, 0, 1], [1, 1, 0, 1])])
    assert (
        StratifiedDifference.of_facts(build(StratifiedFacts, json.loads(json.dumps(plain(found.facts()))), "facts"))
        == found
    )
    assert -1.0 <= found.interval(0.999).lower <= found.value <= found.interval(0.999).upper <= 1.0


def drawn(rng, *, n_patients, share, sensitivity, gap):
    """14 findings of 1 to 20 % of the images; what is latent within a patient correlated by a half."""
    each = np.minimum(rng.zipf(1.9, n_patients), 60)
    patient = np.repeat(np.arange(n_patients), each)
    member, common = (rng.random(n_patients) < share)[patient], rng.normal(size=n_patients)[patient]
    cut = NORMAL.inv_cdf(sensitivity)
    low = NORMAL.inv_cdf(sensitivity + gap)
    strata = []
    for prevalence in np.linspace(0.01, 0.2, 14):
        latent = (rng.normal(size=n_patients)[patient] + rng.normal(size=len(patient))) / np.sqrt(2.0)
        ill = latent > NORMAL.inv_cdf(1.0 - prevalence)
        clear = (common + rng.normal(size=n_patients)[patient] + np.sqrt(2.0) * rng.normal(size=len(patient))) / 2.0
        strata.append(Stratum(clear < np.where(member, low, cut), patient, member & ill, ~member & ill))
    return strata


@pytest.mark.parametrize(("n_patients", "share"), [(300, 0.5), (1000, 0.05)])
@pytest.mark.parametrize("gap", [0.0, -0.2])
def test_its_interval_covers_where_patients_have_several_images_and_findings(n_patients, share, gap):
    """As the function says; with images taken as independent it covers less."""
    rng, covered, by_image = np.random.default_rng(7), 0, 0
    for _ in range(200):
        strata = drawn(rng, n_patients=n_patients, share=share, sensitivity=0.8, gap=gap)
        for is_clustered in (True, False):
            used = strata if is_clustered else [_apart(one, i) for i, one in enumerate(strata)]
            interval = stratified_difference(used).interval(0.95)
            is_held = interval.lower <= gap <= interval.upper
            covered, by_image = covered + is_held * is_clustered, by_image + is_held * (not is_clustered)
    assert covered >= 0.90 * 200
    assert by_image < 0.85 * 200


def _apart(stratum, place):
    """Each image, and each finding of it, of another patient."""
    n = len(stratum.patient)
    return Stratum(stratum.is_hit, np.arange(n) + place * n, stratum.is_one, stratum.is_other)
