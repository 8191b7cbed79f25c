"""What a recipe may ask of the synthetic source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from cxr_tasks.contracts.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticOptions:
    """``dataset.options`` of a recipe with this source."""

    n_images: int = 1200
    seed: int = 20261123
    size_px: int = 256
    """Nominal side; outside ``nih`` sides and aspect ratio vary around it, whatever an image shows."""
    layout: Literal["kermany", "nih", "chexpert", "dicom"] = "kermany"
    """Whose files and tables to write; the source of that name reads them."""
    faults: dict[str, Any] = field(default_factory=dict)
    """What to break: fault -> how many images (true: one, or all that it is about); see ``phantoms.faults.FAULTS``."""
    layout_options: dict[str, Any] = field(default_factory=dict)
    """``options`` of the source that reads the layout."""

    def __post_init__(self) -> None:
        for name, low, high in (("n_images", 30, 1_000_000), ("seed", 0, 2**63 - 1), ("size_px", 96, 1024)):
            if not low <= getattr(self, name) <= high:
                raise ConfigurationError(f"{name}: expected {low} to {high}, found {getattr(self, name)}")
