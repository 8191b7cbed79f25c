"""Rows of a prediction log, made up; a test says what it is about."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def make_row(**changes: Any) -> dict[str, Any]:
    return {
        "time": AT,
        "request_id": str(uuid.uuid4()),
        "image": 0,
        "model": "cxr_binary",
        "version": 3,
        "label": "stable",
        "logged_by": "server",
        "refused": False,
        "typicality": float("nan"),
        "pixel_hash": uuid.uuid4().hex,
        "file_format": "PNG",
        "width_px": 200,
        "height_px": 180,
        "mean": 0.5,
        "deviation": 0.2,
        "entropy": 6.5,
        "sharpness": 0.01,
        "border_fraction": 0.0,
        "flags": "",
        "n_lost_before": 0,
        "probability_pneumonia": 0.25,
        "decision_pneumonia": False,
        **changes,
    }
