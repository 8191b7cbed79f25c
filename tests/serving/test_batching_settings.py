"""Whether and how requests are joined to batches by the stack's model server."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from serving.served.batching import asked_batching, batching_flags
from serving.served.models_config import models_config_path


@pytest.mark.parametrize(
    ("asked", "is_embedded", "joined"),
    [
        ("", True, True),
        ("", False, False),
        ("auto", True, True),
        ("auto", False, False),
        ("on", False, True),
        ("off", True, False),
    ],
)
def test_requests_are_joined_by_default_where_one_cannot_fail_another(asked, is_embedded, joined):
    assert asked_batching({"CXR_SERVING_BATCHING": asked}, is_embedded=is_embedded) == joined


def test_another_word_is_refused():
    with pytest.raises(ConfigurationError, match="CXR_SERVING_BATCHING=yes: expected auto, on, off"):
        asked_batching({"CXR_SERVING_BATCHING": "yes"}, is_embedded=True)


def test_a_batch_holds_what_a_request_may_and_nobody_waits(cxr_home, monkeypatch):
    from serving.server.batching.batch_config import BatchLimits

    monkeypatch.setenv("CXR_MOST_IMAGES", "24")
    flags = batching_flags({}, is_embedded=True)
    file = models_config_path().with_name("batching.config")
    assert flags == ["--enable_batching", f"--batching_parameters_file={file}", "--batching_retry_alone"]
    limits = BatchLimits.read(str(file))
    limits.check()
    assert (limits.max_batch_size, limits.timeout_s) == (24, 0.0)
    assert batching_flags({"CXR_SERVING_BATCHING": "on"}, is_embedded=False) == flags[:2]
    assert batching_flags({}, is_embedded=False) == []
