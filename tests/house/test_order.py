"""Which tests go to one process, and which begin first (``tests/conftest.py``)."""

from __future__ import annotations

import pytest

from tests.conftest import FIRST, SHARERS, TESTS, TOGETHER, group_of, place_of


@pytest.mark.parametrize("name", sorted({*TOGETHER, *SHARERS, *FIRST}))
def test_what_the_order_names_is_there(name):
    """A file that was moved would lose its place without a word."""
    assert (TESTS / name).exists()


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/end_to_end/test_browser.py::test_a", "end_to_end"),  # one stack for all
        ("tests/serving/server/test_tensors.py::test_a[x::y]", "serving/server"),
        ("tests/serving/test_release.py::test_a", "serving"),
        ("tests/evaluate/test_stage.py::test_a", "evaluate/test_cross.py"),  # both use one trained model
        ("tests/statistics/test_scores.py::test_a", "statistics/test_scores.py"),
        ("tests/train/test_stage.py::test_a", "train/test_stage.py"),
    ],
)
def test_what_shares_something_long_in_the_making_goes_to_one_process(nodeid, group):
    assert group_of(nodeid) == group


def test_the_longest_begin_first_and_a_file_may_come_before_its_folder():
    order = ["end_to_end/test_browser.py", "serving/test_release.py", "train/test_stage.py", "train/test_labels.py"]
    places = [place_of(f"tests/{name}::test_a") for name in (*order, "dicom/test_image.py")]
    assert places == sorted(places) and len(set(places)) == len(places)
