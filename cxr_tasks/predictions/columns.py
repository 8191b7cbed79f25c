"""Columns of the prediction log: one row per image that a served model was asked for.

No image, no file name, no identifier of a patient: a row tells of the picture only by numbers and by a hash of its
pixels, which leads back to the picture for whoever has it. Request ids that are no UUID are not taken from clients, so
that none can hold a name.
"""

from __future__ import annotations

import re
import uuid

#: name -> what it holds. After them, per finding of the model, ``probability_<finding>`` (float32, NaN where the image
#: was refused) and ``decision_<finding>`` (bool).
LOG_COLUMNS: dict[str, str] = {
    "time": "timestamp, UTC, when the answer was ready",
    "request_id": "str, a UUID: the client's (x-request-id), or one made here",
    "image": "int, place of the image in its request",
    "model": "str, name of the model",
    "version": "int, the version that answered",
    "label": "str, what was asked for: a label such as 'stable', 'version 7', or '' for the newest",
    "logged_by": "str, 'server' or 'client'",
    "refused": "bool, the model took no answer from it (signature 'lenient')",
    "typicality": "float, how like the training images the picture is, where the model tells; else NaN",
    "pixel_hash": "str, as in the manifest; '' where the picture cannot be decoded here",
    "file_format": "str, as in the manifest",
    "width_px": "int, 0 where unknown",
    "height_px": "int, 0 where unknown",
    "mean": "float, as in the manifest; NaN where the picture cannot be decoded here",
    "deviation": "float, likewise",
    "entropy": "float, likewise",
    "sharpness": "float, likewise",
    "border_fraction": "float, likewise",
    "flags": "str, likewise",
    "n_lost_before": "int, requests that were not logged since the row before, as the log did not keep up",
}
IMAGE_STATISTICS = ("mean", "deviation", "entropy", "sharpness", "border_fraction")
SERVER, CLIENT = "server", "client"
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


def probability_column(finding: str) -> str:
    return f"probability_{finding}"


def decision_column(finding: str) -> str:
    return f"decision_{finding}"


def request_id_of(given: str) -> str:
    """The id under which a request is logged: the client's own where it is a UUID, else a new one.

    >>> request_id_of("0d9f1c9e-6a0c-4f0e-9f5e-1d1c8f6f7a11")
    '0d9f1c9e-6a0c-4f0e-9f5e-1d1c8f6f7a11'
    >>> request_id_of("MUSTER, Max 1970") == "MUSTER, Max 1970"
    False
    """
    return given.lower() if _UUID.fullmatch(given) else str(uuid.uuid4())
