"""Grey statistics of a dataset's images, kept beside it: what pictures that are served later are held against."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.installation.storage.files import replaced_file
from cxr_tasks.installation.storage.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

FILE = "image_statistics.parquet"
#: As in the manifest.
STATISTICS = ("mean", "deviation", "entropy", "sharpness", "border_fraction", "flags", "width_px", "height_px")


def statistics_of(manifest: pd.DataFrame) -> pd.DataFrame:
    """What ``write_statistics`` needs of a manifest: ``image_id`` and ``STATISTICS`` of each image."""
    return manifest[["image_id", *STATISTICS]]


def write_statistics(folder: Path, index: pd.DataFrame, statistics: pd.DataFrame) -> None:
    """Write ``image_statistics.parquet`` of the rows of ``index``; ``statistics`` may hold more images."""
    columns = ["image_id", "split", "patient_key"]
    table = index[columns].merge(statistics, on="image_id", how="left", validate="one_to_one")
    with replaced_file(folder / FILE) as aside:
        table.to_parquet(aside, index=False, compression="zstd")


def statistics_of_splits(prepared: PreparedDataset, splits: Iterable[str]) -> pd.DataFrame | None:
    """``image_id`` and ``STATISTICS`` of the images of ``splits``; None of a dataset prepared before they were kept.

    Raises:
        DataDefect: The file is not such a table.
    """
    path = Path(prepared.folder) / FILE
    if not path.is_file():
        return None
    table = read_table(path, "the statistics of the dataset's images")
    missing = [name for name in ("image_id", "split", *STATISTICS) if name not in table]
    if missing:
        raise DataDefect(f"{path}: expected the statistics of the dataset's images, found none of {missing}")
    return table.loc[table["split"].isin(list(splits)), ["image_id", *STATISTICS]].reset_index(drop=True)
