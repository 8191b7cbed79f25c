"""Labels of served images on disk: kept for ever, the latest in force.

Nothing is changed or removed: a corrected label is a further row, and the one with the latest ``when`` is in force.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.installation.storage.files import replaced_file
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.installation.storage.private import close_to_others
from cxr_tasks.installation.storage.tables import read_table
from cxr_tasks.predictions.log import image_of_requests, read_log

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One label as it is kept."""

    pixel_hash: str
    request_id: str
    finding: str
    label: str
    who: str
    when: datetime
    patient_key: str
    received_at: datetime
    file_sha256: str
    """Of the table it came in."""
    split: str = ""
    """In which the patient or the picture is among the images that the version measured was made of; '' where in none,
    or where it was not looked up yet."""


def feedback_root() -> Path:
    """Labels, as ``<model>/<time>.parquet``: for the owner only."""
    return home() / "feedback"


def keep_labels(model: str, labels: pd.DataFrame) -> int:
    """Add ``labels`` (columns as ``Label``) to those of the model; how many are new.

    A table that is sent twice adds nothing.
    """
    import pandas as pd

    folder = feedback_root() / model
    with file_lock(folder / ".lock", what=f"labels of {model}", purpose="adding some", wait_s=120):
        present = all_labels(model)
        said = ["pixel_hash", "request_id", "finding", "label", "who", "when"]
        both = pd.concat([present[said], labels[said]], ignore_index=True) if len(present) else labels[said]
        is_known = both.duplicated().to_numpy()[len(present) :]
        table = labels[~is_known]
        if len(table):
            close_to_others(folder)
            # Two tables may come at the same moment; neither takes the other's place.
            received_at = table["received_at"].iloc[0]
            name = f"{received_at:%Y%m%dT%H%M%S.%f}-{secrets.token_hex(4)}.parquet"
            with replaced_file(folder / name) as aside:
                table.to_parquet(aside, index=False, compression="zstd")
    return len(table)


def all_labels(model: str) -> pd.DataFrame:
    """Every label that ever came, in the order of ``when``; fields as ``Label``.

    Raises:
        DataDefect: A file of them is damaged: without its labels those that they corrected would be in force again.
        OSError: The disk, or the rights to a file of them.
    """
    import pandas as pd

    tables = [_read(path) for path in sorted((feedback_root() / model).glob("[!.]*.parquet"))]
    if not tables:
        return pd.DataFrame(columns=list(Label.__slots__))
    table = pd.concat(tables, ignore_index=True)
    table["split"] = table["split"].fillna("") if "split" in table else ""
    return table.sort_values(["when", "received_at"], kind="stable", ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    advice = "put it back from a backup, or take it away and send its labels again"
    return read_table(path, "labels as they were kept", advice)


def labels_in_force(labels: pd.DataFrame) -> pd.DataFrame:
    """The latest label of each image and finding; ``labels`` as ``all_labels`` gives them, with column ``image``."""
    return labels.drop_duplicates(["image", "finding"], keep="last")


def labels_of_images(model: str) -> pd.DataFrame:
    """Labels in force with ``image``, the pixel hash; those given by request are looked up in the prediction log.

    A request that the log does not have, or has no more, or that was of several pictures, names no image and is left
    out.
    """
    labels = all_labels(model)
    hashes: dict[str, str] = {}
    if (labels["request_id"] != "").any():
        served = read_log(model, date.min, date.max)
        if len(served):
            hashes = image_of_requests(served)
    image = labels["pixel_hash"].where(labels["pixel_hash"] != "", labels["request_id"].map(hashes))
    known = labels.assign(image=image).dropna(subset=["image"])
    return labels_in_force(known[known["image"] != ""]).reset_index(drop=True)
