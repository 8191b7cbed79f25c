"""Why the bytes of a file are no picture that can be used."""

from __future__ import annotations


class Unusable(Exception):
    """Why a file is refused, as a row of the quarantine says it; caught where the file is looked at."""

    def __init__(self, reason: str, detail: str, action: str):
        super().__init__(detail)
        self.reason, self.detail, self.action = reason, detail, action
