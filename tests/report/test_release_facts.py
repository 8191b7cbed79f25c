"""What a report says of the release check is read from what the check writes."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.shapes import plain
from cxr_tasks.report.stage import _release_facts

MEASURED = "Median answer for one image"


@pytest.mark.tf
@pytest.mark.parametrize(("former", "said"), [((None, None), "2.4 ms"), ((6, 2.25), "2.4 ms; version 6: 2.2 ms")])
def test_what_the_check_measured_is_told(former, said):
    from serving.check.check import Parity
    from serving.check.latency import Latency
    from serving.check.precision import PrecisionChoice

    version, median_ms = former
    parity = Parity(
        version=7,
        n_images=13,
        largest_difference=3.1e-8,
        tolerance=1e-3,
        load_seconds=6.8,
        n_warmup_requests=4,
        latency=Latency(median_ms=2.384, former_version=version, former_median_ms=median_ms, max_ratio=2.0),
        signatures=("serving_default",),
        precision=PrecisionChoice(precision="float32", why="no units"),
    )
    facts = _release_facts(plain(parity))
    assert facts["Served version"] == 7
    assert facts["Arithmetic"] == "float32: no units"
    assert facts["Images sent to a model server before release"] == 13
    assert facts[MEASURED] == said


def test_a_release_from_before_is_told_as_well():
    parity = {"version": 2, "n_images": 9, "largest_difference": 0.0, "tolerance": 1e-3, "median_latency_ms": 4.0}
    assert _release_facts(parity)[MEASURED] == "4.0 ms"


def test_a_version_that_was_not_released_has_none():
    assert _release_facts(None) == {}
