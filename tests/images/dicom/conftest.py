"""Every test here has a run-time folder of its own: reading a DICOM file makes the secret of the patient keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_tasks.images.dicom import DicomRefused, read_dicom


@pytest.fixture(autouse=True)
def own_home(cxr_home: Path) -> Path:
    return cxr_home


@pytest.fixture
def refusal() -> Callable[[bytes], DicomRefused]:
    """``refusal(content)``: why ``read_dicom`` refuses these bytes; fails where it does not."""

    def refuse(content: bytes) -> DicomRefused:
        with pytest.raises(DicomRefused) as caught:
            read_dicom(content)
        return caught.value

    return refuse
