from __future__ import annotations

import pytest

from cxr_tasks.statistics.holm import holm_adjusted


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.04], [0.04]),
        # 0.005 * 4; 0.01 * 3; 0.03 * 2; 0.04 * 1, but not below the one before
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.0, 1.0], [0.0, 1.0]),
    ],
)
def test_by_hand(p_values, adjusted):
    assert holm_adjusted(p_values) == pytest.approx(adjusted)
