"""Events on their way: each a file of ``var/lineage``, and from there to an address by a process of its own.

A task only writes a file. Whoever collects events may be slow or away: what is not sent stays and is sent with a later
event, in order.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.storage.addresses import POSTGRES
from cxr_tasks.installation.storage.files import replaced_file
from cxr_tasks.installation.storage.paths import home

log = logging.getLogger(__name__)

URL, SWITCH = "CXR_OPENLINEAGE_URL", "CXR_LINEAGE"
#: More events than this are not kept for an address that does not take them: the oldest go.
MOST_WAITING = 10_000


def is_on(environment: Mapping[str, str]) -> bool:
    """Whether events are written: ``on``, ``off``; unset, where several machines work together or an address is set."""
    asked = environment.get(SWITCH, "")
    if asked not in ("", "on", "off"):
        raise ConfigurationError(f"{SWITCH}={asked}: expected on or off")
    usual = environment.get("CXR_DATABASE") == POSTGRES or bool(environment.get(URL))
    return asked == "on" or (usual and asked != "off")


def check_lineage(environment: Mapping[str, str]) -> None:
    """``ConfigurationError`` for a switch or an address that cannot be."""
    is_on(environment)
    url = environment.get(URL, "")
    if url and not re.fullmatch(r"https?://[^\s@]+", url):
        raise ConfigurationError(
            f"{URL}: expected such as https://lineage.example.org/api/v1/lineage, without a login in it; a key is the "
            "secret file openlineage_key"
        )


def lineage_root() -> Path:
    return home() / "lineage"


def tell(event: dict[str, Any]) -> None:
    """Write the event, and start who sends it where an address is set. Nothing here waits for anybody."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    name = f"{datetime.now(UTC):%H%M%S%f}-{uuid.uuid4().hex[:8]}.json"
    text = json.dumps(event, separators=(",", ":"))
    places = [lineage_root() / "events" / day / name]
    if os.environ.get(URL):
        places.append(lineage_root() / "waiting" / f"{day}-{name}")
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replaced_file(place, is_private=True) as aside:
            aside.write_text(text + "\n", encoding="utf-8")
    if len(places) > 1:
        _start_sender()


def _start_sender() -> None:
    """A process that outlives the task; one that finds another at work ends at once."""
    subprocess.Popen(
        [sys.executable, "-m", "cxr_tasks.stack.lineage.send"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        close_fds=True,
    )
