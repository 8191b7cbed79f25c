"""What every stage gives to the next: small, plain, by reference; JSON in Airflow's XCom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from cxr_tasks.contracts.shapes import build, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """Base: ``from_payload(to_payload(x)) == x``; a missing or unknown key is named."""

    def to_payload(self) -> dict[str, Any]:
        return plain(self)

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Self:
        return build(cls, payload, cls.__name__)
