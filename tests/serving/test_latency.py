"""Median times of two versions by turns, with a client that takes as long as it is told."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from cxr_tasks.contracts.errors import ReleaseRefused
from serving.client import ServedVersion

pytestmark = pytest.mark.tf


class PacedClient:
    """Answers after so many milliseconds; a version of None cannot be loaded."""

    def __init__(self, new_ms: float, former_ms: float | None):
        self.times_ms = {"cxr_binary": new_ms, "former": former_ms}
        self.address = "127.0.0.1:8500"

    def versions(self, model_name):
        if self.times_ms[model_name] is None:
            return (ServedVersion(2, "END", "junk"),)
        return (ServedVersion(2, "AVAILABLE"),)

    def outputs(self, model_name, images, at):
        time.sleep(self.times_ms[model_name] / 1000)


def server(former: int | None):
    process = SimpleNamespace(require_alive=lambda: None)
    return SimpleNamespace(model_name="cxr_binary", version=3, former=former, process=process)


def measured(new_ms: float, former_ms: float | None, former: int | None = 2):
    from serving.check.latency import measure_latency

    return measure_latency(PacedClient(new_ms, former_ms), server(former), b"", max_ratio=2)


def test_a_version_about_as_fast_passes():
    latency = measured(6, 5)
    assert latency.former_version == 2
    assert latency.median_ms >= 6
    assert latency.former_median_ms >= 5


def test_a_version_much_slower_is_refused_with_both_times():
    with pytest.raises(ReleaseRefused, match=r"version 3: expected a median answer within 2 times that of version 2"):
        measured(20, 1)


@pytest.mark.parametrize(("former_ms", "former"), [(None, 2), (1, None)])
def test_without_a_version_to_compare_with_the_time_is_told(former_ms, former):
    latency = measured(4, former_ms, former)
    assert (latency.former_version, latency.former_median_ms) == (None, None)
    assert latency.median_ms >= 4
