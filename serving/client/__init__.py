"""The client of the model server. Nothing heavy is imported before the first call, TensorFlow never.

>>> from serving.client import CxrClient
>>> with CxrClient("127.0.0.1:8500") as client:                           # doctest: +SKIP
...     client.predict("cxr_binary", "scan1.jpeg")
"""

from typing import TYPE_CHECKING, Any

from serving.client.answers import (
    Answer,
    ImageRefused,
    NotServed,
    Refused,
    RequestRefused,
    ServedVersion,
    TimedOut,
)
from serving.client.client import CxrClient

if TYPE_CHECKING:
    from serving.client.async_client import AsyncCxrClient

__all__ = [
    "Answer",
    "AsyncCxrClient",
    "CxrClient",
    "ImageRefused",
    "NotServed",
    "Refused",
    "RequestRefused",
    "ServedVersion",
    "TimedOut",
]


def __getattr__(name: str) -> Any:
    """The twin comes when it is asked for: an event loop takes as long to import as all the rest."""
    if name == "AsyncCxrClient":
        from serving.client.async_client import AsyncCxrClient

        return AsyncCxrClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
