"""Differences of two versions' answers, on hand-made answers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, ReleaseRefused
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.stack.servers.model_server import request_log_flags
from serving.client import Answer
from serving.compare.asked_images import folder_images, recorded_images
from serving.compare.compare import Comparison, compare, differences, table, write_comparison
from serving.compare.differences import finding_difference


def answer(probability: float, threshold: float = 0.5, label: str = "pneumonia") -> Answer:
    return Answer(labels=(label,), probabilities=(probability,), decisions=(probability >= threshold,))


def test_differences_and_changed_decisions_are_counted():
    stable = np.array([0.1, 0.4, 0.6, 0.9])
    canary = np.array([0.2, 0.6, 0.4, 0.9])
    found = finding_difference("mass", stable, canary, stable >= 0.5, canary >= 0.5)
    assert found.n == 4
    assert found.mean_difference.value == pytest.approx(0.025)  # (0.1 + 0.2 - 0.2 + 0) / 4
    assert found.mean_absolute_difference.value == pytest.approx(0.125)
    assert found.largest_absolute_difference == pytest.approx(0.2)
    assert (found.n_to_positive, found.n_to_negative) == (1, 1)
    assert found.changed_decisions.value == 0.5
    # Wilson's interval of 2 of 4.
    assert (found.changed_decisions.lower, found.changed_decisions.upper) == pytest.approx((0.150, 0.850), abs=1e-3)


def test_intervals_cover_what_was_drawn():
    """A shift of 0.05 under noise of 0.1: the interval is about 0.05 +- 1.96 x 0.1 / sqrt(400)."""
    rng = np.random.default_rng(4)
    stable = rng.uniform(0.3, 0.6, 400)
    canary = stable + rng.normal(0.05, 0.1, 400)
    found = finding_difference("mass", stable, canary, stable >= 0.5, canary >= 0.5).mean_difference
    assert found.upper - found.lower == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.15)
    assert found.lower < 0.05 < found.upper
    assert found == finding_difference("mass", stable, canary, stable >= 0.5, canary >= 0.5).mean_difference


def test_equal_versions_do_not_differ():
    same = np.array([0.2, 0.7])
    found = finding_difference("mass", same, same, same >= 0.5, same >= 0.5)
    assert (found.mean_difference.lower, found.mean_difference.upper) == (0.0, 0.0)
    assert found.changed_decisions.value == 0.0
    assert found.changed_decisions.upper > 0.5  # two images tell little


def test_versions_that_speak_of_other_findings_are_named():
    with pytest.raises(DataDefect, match=r"same findings of both versions, found .*mass.*pneumonia"):
        differences([(answer(0.2), answer(0.2, label="mass"))])


def test_a_comparison_is_written_and_read_by_people(cxr_home):
    comparison = Comparison(
        model_name="cxr_binary",
        stable=3,
        canary=5,
        source="recorded requests",
        made_at="2026-11-26T20:00:00+00:00",
        n_images=2,
        n_refused_by_both=0,
        n_refused_by_stable_only=0,
        n_refused_by_canary_only=0,
        findings=differences([(answer(0.2), answer(0.6)), (answer(0.7), answer(0.7))]),
    )
    assert comparison.title.startswith("cxr_binary: canary 5 less stable 3, 2 images of recorded requests")
    (row,) = table(comparison)
    assert row["mean difference (95 %)"] == "+0.2000 (+0.0000 to +0.4000)"
    assert row["to positive / negative"] == "1 / 0"
    path = verified_path(write_comparison(comparison))
    assert path.parent == cxr_home / "comparisons" / "cxr_binary"
    assert json.loads(path.read_text())["findings"][0]["changed_decisions"]["value"] == 0.5


def test_nothing_to_compare_is_said_with_what_to_do(cxr_home, tmp_path):
    settings = StackSettings.requested({})
    with pytest.raises(ReleaseRefused, match="cxr canary cxr_binary VERSION"):
        compare("cxr_binary", settings, [b""], "a test")
    with pytest.raises(DataDefect, match="CXR_REQUEST_LOG"):
        recorded_images("cxr_binary", 10)
    with pytest.raises(DataDefect, match="expected image files"):
        folder_images(tmp_path, 10)


def test_images_of_a_folder(tmp_path):
    for name in ("b.png", "a.jpeg", "notes.txt", "deep/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert folder_images(tmp_path, 10) == [b"a.jpeg", b"b.png", b"deep/c.jpg"]
    assert folder_images(tmp_path, 1) == [b"a.jpeg"]


@pytest.mark.parametrize("text", ["0", "-0.1", "1.5", "many", "nan"])
def test_a_share_that_is_none_is_named(text):
    with pytest.raises(ConfigurationError, match=f"CXR_REQUEST_LOG={text}: expected a share"):
        request_log_flags({"CXR_REQUEST_LOG": text})


def test_requests_are_recorded_only_on_demand(cxr_home):
    assert request_log_flags({}) == []
    flags = request_log_flags({"CXR_REQUEST_LOG": "0.25"})
    assert flags == [f"--request_log_folder={cxr_home / 'requests'}", "--request_log_share=0.25"]
