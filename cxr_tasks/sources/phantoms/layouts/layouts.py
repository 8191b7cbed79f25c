"""The layouts in which phantoms can be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.sources.phantoms.layouts import layout_chexpert, layout_dicom, layout_kermany, layout_nih
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions

if TYPE_CHECKING:
    from cxr_tasks.sources.phantoms.layouts.files import DrawnFile, PhantomFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way to lay out images and labels."""

    data_folder: str
    """Below the source's own folder; ``.`` for that folder itself."""
    variant_folders: Mapping[str, str] = field(default_factory=dict)
    """Variants in which the data folder has another name."""
    plan: Callable[[SyntheticOptions], list[PhantomFile]]
    """Which files there will be."""
    write_tables: Callable[[Path, list[PhantomFile], list[DrawnFile], SyntheticOptions], None]
    """Write the labels of what was drawn into the data folder."""
    has_box_table: bool = False
    """Whether boxes are in the layout's own tables."""

    def folder(self, options: SyntheticOptions) -> str:
        """The data folder, in the variants asked for."""
        return next((name for one, name in self.variant_folders.items() if one in options.variants), self.data_folder)


LAYOUTS: dict[str, Layout] = {
    "kermany": Layout(
        data_folder=layout_kermany.DATA_FOLDER, plan=layout_kermany.plan, write_tables=layout_kermany.write_tables
    ),
    "nih": Layout(
        data_folder=layout_nih.DATA_FOLDER,
        plan=layout_nih.plan,
        write_tables=layout_nih.write_tables,
        has_box_table=True,
    ),
    "chexpert": Layout(
        data_folder=layout_chexpert.DATA_FOLDER,
        variant_folders={"full_size": layout_chexpert.FULL_SIZE_FOLDER},
        plan=layout_chexpert.plan,
        write_tables=layout_chexpert.write_tables,
    ),
    "dicom": Layout(
        data_folder=layout_dicom.DATA_FOLDER, plan=layout_dicom.plan, write_tables=layout_dicom.write_tables
    ),
}
