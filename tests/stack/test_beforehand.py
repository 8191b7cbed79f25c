"""Settings that tasks read hours later are checked when the stack starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.stack.beforehand import check_settings
from cxr_tasks.stack.start import up


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CXR_REPORT_CRON", "0 25 * * *", "CXR_REPORT_CRON=0 25"),
        ("CXR_DATASET_BINARY_CRON", "every monday", "CXR_DATASET_BINARY_CRON=every monday"),
        ("CXR_REQUEST_LOG", "110%", "CXR_REQUEST_LOG=110%"),
        ("CXR_DEADLINE_SHARE", "2", "CXR_DEADLINE_SHARE=2"),
        ("CXR_MAX_LATENCY_RATIO", "fast", "CXR_MAX_LATENCY_RATIO=fast"),
        ("CXR_MAX_LATENCY_RATIO", "inf", "CXR_MAX_LATENCY_RATIO=inf"),
        ("CXR_SERVING_PRECISION", "bf16", "CXR_SERVING_PRECISION=bf16: expected auto or float32"),
        ("CXR_SERVING_BATCHING", "yes", "CXR_SERVING_BATCHING=yes: expected off or on"),
        ("CXR_NOTIFY", "json://localhost/x carrier-pigeon:secret", "CXR_NOTIFY: address 2 of 2"),
    ],
)
def test_wrong_setting_is_named_before_anything_starts(
    cxr_home: Path, dags: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
):
    monkeypatch.setenv("CXR_DAGS", str(dags))
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=said) as error:
        up(Console(quiet=True))
    assert "secret" not in str(error.value)
    assert not (cxr_home / "stack").exists()


def test_nothing_set_is_well():
    check_settings({})
