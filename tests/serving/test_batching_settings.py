"""Whether and how requests are joined to batches by the stack's model server."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from serving.served.batching import asked_batching, batching_flags
from serving.served.models_config import models_config_path


@pytest.mark.parametrize(
    ("asked", "by_embedded", "by_real"),
    [("", True, False), ("off", False, False), ("on", True, True)],
)
def test_requests_are_joined_by_the_embedded_server_and_where_asked_for(asked, by_embedded, by_real):
    environment = {"CXR_SERVING_BATCHING": asked}
    assert asked_batching(environment, is_embedded=True) == by_embedded
    assert asked_batching(environment, is_embedded=False) == by_real


def test_another_word_is_refused():
    with pytest.raises(ConfigurationError, match="CXR_SERVING_BATCHING=yes: expected off or on"):
        asked_batching({"CXR_SERVING_BATCHING": "yes"}, is_embedded=True)


def test_a_batch_holds_what_a_request_may_and_nobody_waits(cxr_home, monkeypatch):
    from serving.server.batching.batch_config import BatchLimits

    monkeypatch.setenv("CXR_MOST_IMAGES", "24")
    on = {"CXR_SERVING_BATCHING": "on"}
    flags = batching_flags(on, is_embedded=False)
    file = models_config_path().with_name("batching.config")
    assert flags == ["--enable_batching", f"--batching_parameters_file={file}"]
    limits = BatchLimits.read(str(file))
    limits.check()
    assert (limits.max_batch_size, limits.timeout_s) == (24, 0.0)
    assert batching_flags({}, is_embedded=False) == []


def test_the_embedded_server_is_told_which_signatures_to_join():
    assert batching_flags({}, is_embedded=True) == ["--join_signatures=serving_default,lenient"]
    assert batching_flags({"CXR_SERVING_BATCHING": "off"}, is_embedded=True) == []
