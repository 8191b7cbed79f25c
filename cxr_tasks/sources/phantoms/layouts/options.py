"""What a recipe may ask of the synthetic source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from cxr_tasks.contracts.errors import ConfigurationError, nearest

#: Layout -> other forms in which its data are found, and what each is about: of one matter at most one can be asked.
VARIANTS: dict[str, dict[str, str]] = {
    "kermany": {
        "no_val": "folders",  # train and test alone; the images of val are in train
        "unsplit": "folders",  # NORMAL and PNEUMONIA alone
    },
    "nih": {
        "table_2020": "table",  # Data_Entry_2017_v2020.csv, with its header
        "ages_with_unit": "ages",  # 060Y
        "many_folders": "folders",  # images_001/images to images_012/images
    },
    "chexpert": {"full_size": "folder"},  # CheXpert-v1.0
    "dicom": {"jpeg2000": "compression", "jpeg_lossless": "compression"},  # every file so
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticOptions:
    """``dataset.options`` of a recipe with this source."""

    n_images: int = 1200
    seed: int = 20261123
    size_px: int = 256
    """Nominal side; outside ``nih`` sides and aspect ratio vary around it, whatever an image shows."""
    layout: Literal["kermany", "nih", "chexpert", "dicom"] = "kermany"
    """Whose files and tables to write; the source of that name reads them."""
    variants: tuple[str, ...] = ()
    """In which other forms of the layout; see ``VARIANTS``."""
    faults: dict[str, Any] = field(default_factory=dict)
    """What to break: fault -> how many images (true: one, or all that it is about); see ``phantoms.faults.FAULTS``."""
    layout_options: dict[str, Any] = field(default_factory=dict)
    """``options`` of the source that reads the layout."""

    def __post_init__(self) -> None:
        for name, low, high in (("n_images", 30, 1_000_000), ("seed", 0, 2**63 - 1), ("size_px", 96, 1024)):
            if not low <= getattr(self, name) <= high:
                raise ConfigurationError(f"{name}: expected {low} to {high}, found {getattr(self, name)}")
        self._check_variants()

    def _check_variants(self) -> None:
        known = VARIANTS[self.layout]
        asked: dict[str, str] = {}
        for variant in self.variants:
            if variant not in known:
                raise ConfigurationError(
                    f"variants: {variant!r} is not one of layout {self.layout!r}{nearest(variant, known)}; known: "
                    f"{', '.join(known)}"
                )
            other = asked.setdefault(known[variant], variant)
            if other != variant:
                raise ConfigurationError(f"variants: {other!r} and {variant!r} exclude each other; ask for one")
