"""``python -m cxr_tasks.stack.lineage.send``: the events that wait, to ``CXR_OPENLINEAGE_URL``, oldest first.

It ends where the address does not answer; the next event starts another. One event that is refused for good (a status
of 400 to 499 but 401, 403, 408 and 429) is put away under ``refused``, so that it does not hold up those behind it.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.installation.storage.changes import move, remove_file
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import secrets_root
from cxr_tasks.stack.lineage.outbox import MOST_WAITING, URL, lineage_root

TIMEOUT_S = 10
KEY_FILE = "openlineage_key"
_TRY_AGAIN = {401, 403, 408, 429}


def main() -> int:
    try:
        with file_lock(lineage_root() / "lock", what="lineage", purpose="sending", wait_s=0):
            while _send_all():
                pass  # those that came meanwhile
    except (CxrError, OSError):
        return 1
    return 0


def _send_all() -> int:
    """Send what waits now, and return how many were sent."""
    waiting = sorted((lineage_root() / "waiting").glob("*.json"))
    for path in waiting[:-MOST_WAITING]:
        remove_file(path)
    for path in waiting[-MOST_WAITING:]:
        if not _took(path):
            refused = lineage_root() / "refused"
            refused.mkdir(exist_ok=True, mode=0o700)
            move(path, refused / path.name)
        else:
            remove_file(path)
    return len(waiting)


def _took(path: Path) -> bool:
    """Whether the address took the event; ``OSError`` where it does not answer or may take it later."""
    key = secrets_root() / KEY_FILE
    headers = {"Content-Type": "application/json"}
    if key.is_file():
        headers["Authorization"] = f"Bearer {key.read_text(encoding='utf-8').strip()}"
    request = urllib.request.Request(os.environ[URL], path.read_bytes(), headers, method="POST")  # noqa: S310  checked
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310  checked
            return True
    except urllib.error.HTTPError as error:
        error.close()
        if 400 <= error.code < 500 and error.code not in _TRY_AGAIN:
            return False
        raise


if __name__ == "__main__":
    sys.exit(main())
