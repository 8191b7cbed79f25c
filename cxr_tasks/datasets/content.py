"""What the images of a dataset are, apart from their names: hashes of file, pixels and look, and patients' keys.

Kept beside the dataset (``content.parquet``) and with each model trained on it, so that a later evaluation can tell
which of its images the model has seen (``datasets.leaks``).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.installation.patient_keys import patient_key, patient_secret
from cxr_tasks.installation.storage.files import read_json, replaced_file, sha256_file, verified_path
from cxr_tasks.installation.storage.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

CONTENT_FILE = "content.parquet"
#: name -> what it holds
CONTENT_COLUMNS: dict[str, str] = {
    "image_id": "str, as in the index",
    "split": "str",
    "source": "str",
    "patient_key": "str",
    "patient_scheme": "str, equal where patient keys may be compared: made with the same salt and secret",
    "file_sha256": "str",
    "pixel_hash": "str, as in the manifest; '' where it was not kept",
    "perceptual_hash": "str, as in the manifest; '' where it was not kept",
}
_HASHES = ("pixel_hash", "perceptual_hash")


def hashes_of(manifest: pd.DataFrame) -> pd.DataFrame:
    """What ``write_content`` needs of a manifest beside the index: ``image_id`` and both hashes of each image."""
    return manifest[["image_id", *_HASHES]]


def write_content(folder: Path, index: pd.DataFrame, hashes: pd.DataFrame, salt: str) -> None:
    """Write ``content.parquet`` of the rows of ``index``; ``hashes`` may hold more images."""
    named = hashes[["image_id", *_HASHES]]
    content = index.merge(named, on="image_id", how="left", validate="one_to_one")
    write_rows_of_content(folder / CONTENT_FILE, content.assign(patient_scheme=scheme_of(salt)))


def write_rows_of_content(path: Path, content: pd.DataFrame) -> None:
    """Write the columns ``CONTENT_COLUMNS`` of ``content``, whole or not at all; ``KeyError`` where it lacks one."""
    with replaced_file(path) as aside:
        content[list(CONTENT_COLUMNS)].to_parquet(aside, index=False, compression="zstd")


def read_rows_of_content(path: Path) -> pd.DataFrame:
    """The table in ``path``, with exactly the columns ``CONTENT_COLUMNS``, a row for each image.

    Raises:
        DataDefect: It is no such table.
        OSError: The disk, or the rights to the file.
    """
    table = read_table(path, "a table of what images are")
    missing = [name for name in CONTENT_COLUMNS if name not in table]
    if missing:
        raise DataDefect(f"{path}: expected the columns {', '.join(CONTENT_COLUMNS)}, found none of {missing}")
    return table[list(CONTENT_COLUMNS)]


def scheme_of(salt: str) -> str:
    """What tells whether two patient keys can be compared: the key of no patient."""
    return patient_key("", salt=salt, secret=patient_secret())


def content_of_splits(prepared: PreparedDataset, splits: Iterable[str]) -> pd.DataFrame:
    """``CONTENT_COLUMNS`` of the images of ``splits``, a row for each, in stored order.

    A dataset prepared before this was kept knows its images by file and patient only.

    Raises:
        DataDefect: The dataset's tables are not what they were.
    """
    import pandas as pd

    folder = Path(prepared.folder)
    provenance = read_json(folder / "provenance.json")
    path, expected = folder / CONTENT_FILE, provenance.get("content_sha256")
    if expected is not None:
        if not path.is_file() or sha256_file(path) != expected:
            raise DataDefect(f"{path}: expected the table that was written with the dataset; prepare the dataset again")
        content = read_rows_of_content(path)
    else:
        columns = ["image_id", "split", "source", "patient_key", "file_sha256"]
        index = pd.read_parquet(verified_path(prepared.index), columns=columns)
        salt = provenance.get("settings", {}).get("split", {}).get("salt", "")
        content = index.assign(patient_scheme=scheme_of(salt), **dict.fromkeys(_HASHES, ""))
    return content.loc[content["split"].isin(list(splits)), list(CONTENT_COLUMNS)].reset_index(drop=True)
