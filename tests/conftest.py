"""What every test may ask for: the real X-rays where they are, and a run-time folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start a stack come last, those that share one for all their tests last of all.

    Their processes and their environment would otherwise be there while all other tests run.
    """

    def place(item: pytest.Item) -> int:
        return 2 if "end_to_end" in item.path.parts else 1 if item.get_closest_marker("stack") else 0

    items.sort(key=place)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real X-rays beside the checkout; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real X-rays are not here: expected the folder {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def cxr_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run-time folder of this test's own, instead of ``var/``."""
    folder = tmp_path / "var"
    monkeypatch.setenv("CXR_HOME", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder
