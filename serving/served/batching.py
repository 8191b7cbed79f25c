"""Requests that come at the same time run together: the parameters, for either model server, and when they hold.

Nobody waits for others (timeout 0): a lone request starts at once; what comes while it runs makes up the next batch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.images.rules import requested_limits
from cxr_tasks.installation.storage.files import write_text
from serving.served.models_config import models_config_path

BATCHING_VARIABLE = "CXR_SERVING_BATCHING"
CHOICES = ("off", "on")
#: Not ``explain``: its runs are long and its heat maps large, and few ask for them at the same time.
JOINED = ("serving_default", "lenient")
#: Batches that wait before requests are refused: at the most images a request, more than any queue of callers.
MOST_WAITING = 256


def asked_batching(environment: Mapping[str, str], *, is_embedded: bool) -> bool:
    """Whether requests are joined: by the embedded server unless switched off, by the real one where switched on.

    The real server fails all requests of a batch for one bad image among them, and an empty request can end it.

    Raises:
        ConfigurationError: The variable holds something else than ``CHOICES``.
    """
    asked = environment.get(BATCHING_VARIABLE) or ("on" if is_embedded else "off")
    if asked not in CHOICES:
        raise ConfigurationError(f"{BATCHING_VARIABLE}={asked}: expected {' or '.join(CHOICES)}")
    return asked == "on"


def batching_flags(environment: Mapping[str, str], *, is_embedded: bool) -> list[str]:
    """Flags of the model server, with the file of parameters of the real one written; [] where nothing is joined."""
    if not asked_batching(environment, is_embedded=is_embedded):
        return []
    if is_embedded:
        return [f"--join_signatures={','.join(JOINED)}"]
    path = models_config_path().with_name("batching.config")
    write_batching_parameters(path)
    return ["--enable_batching", f"--batching_parameters_file={path}"]


def write_batching_parameters(path: Path) -> None:
    """A batch holds as many images as a request may, so that none is refused for being larger than a batch."""
    write_text(
        path,
        f"max_batch_size {{ value: {requested_limits(os.environ).images} }}\n"
        "batch_timeout_micros { value: 0 }\n"
        f"max_enqueued_batches {{ value: {MOST_WAITING} }}\n"
        f"num_batch_threads {{ value: {os.cpu_count() or 1} }}\n",
    )
