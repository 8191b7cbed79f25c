"""Whether versions may answer in bfloat16: a setting of the environment."""

from __future__ import annotations

from collections.abc import Mapping

from cxr_tasks.contracts.errors import ConfigurationError

#: ``auto``, or ``float32`` where bfloat16 is not wanted (``serving.check.precision``).
PRECISION_VARIABLE = "CXR_SERVING_PRECISION"
AUTO, FLOAT32 = "auto", "float32"


def asked_precision(environment: Mapping[str, str]) -> str:
    """``AUTO`` or ``FLOAT32``; ``AUTO`` where nothing is set.

    Raises:
        ConfigurationError: Something else is set.
    """
    asked = environment.get(PRECISION_VARIABLE) or AUTO
    if asked not in (AUTO, FLOAT32):
        raise ConfigurationError(f"{PRECISION_VARIABLE}={asked}: expected {AUTO} or {FLOAT32}")
    return asked
