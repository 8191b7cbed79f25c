"""Files by reference, and the digest of a plain value."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """A file by its path and the sha256 (hex) of its content; ``installation.storage.files`` makes and reads them."""

    uri: str
    sha256: str


def sha256_json(value: Any) -> str:
    """sha256 of ``value`` as canonical JSON (sorted keys, no spaces), as hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
