"""How much slower than the version that serves a new one may answer: a setting of the environment."""

from __future__ import annotations

from collections.abc import Mapping

from cxr_tasks.contracts.errors import ConfigurationError

LATENCY_VARIABLE = "CXR_MAX_LATENCY_RATIO"


def max_latency_ratio(environment: Mapping[str, str]) -> float:
    """How many times as long as the version that serves now a new one may take to answer; 2 where not set.

    Raises:
        ConfigurationError: It is not a number of at least 1.
    """
    text = environment.get(LATENCY_VARIABLE) or "2"
    try:
        ratio = float(text)
    except ValueError:
        ratio = 0.0
    if not 1 <= ratio < float("inf"):
        raise ConfigurationError(f"{LATENCY_VARIABLE}={text}: expected a number of at least 1, for example 2")
    return ratio
