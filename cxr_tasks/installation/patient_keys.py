"""Patient keys: the same patient, the same key, and no way back to the source's number without a secret."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.paths import secrets_root
from cxr_tasks.installation.storage.private import keep_private_text

KEY_BYTES = 32
#: Hex digits of a patient key: 64 bits, so two of a million patients share one with a chance of 3e-8.
PATIENT_KEY_LENGTH = 16


def patient_key(patient_id: str, *, salt: str, secret: bytes) -> str:
    """16 hex digits for ``patient_id``: HMAC-SHA256 under ``secret``, which a list of known numbers cannot undo."""
    return hmac.new(secret, f"{salt}\0{patient_id}".encode(), hashlib.sha256).hexdigest()[:PATIENT_KEY_LENGTH]


def patient_secret(folder: Path | None = None) -> bytes:
    """The secret of this installation, made at first use in ``secrets_root()``, readable by its owner only.

    Raises:
        DataDefect: The file is there but holds something else.
    """
    folder = folder or secrets_root()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "patient_key"
    keep_private_text(path, secrets.token_hex(KEY_BYTES))
    try:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise DataDefect(
            f"{path}: expected {2 * KEY_BYTES} hex digits; restore the file, or remove it for new patient keys"
        )
    return secret
