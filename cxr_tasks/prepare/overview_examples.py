"""Example images of a dataset's overview: some of each finding from the train split, with its boxes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.labels import LabelState, display_name, findings_of, label_column

if TYPE_CHECKING:
    import pandas as pd

MOST_EXAMPLES = 6
#: Pixels that all examples together may take in the page; one of each finding is shown in any case.
PIXEL_BUDGET = 3_000_000


def example_groups(folder: Path, index: pd.DataFrame, provenance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per finding some train images that show it, each of another patient, then some that show none.

    Train only: who looks at test images before a model is chosen has read them. The choice goes by the hash of the
    patient, so the same dataset gives the same page.
    """
    from cxr_tasks.datasets.single_images import stored_images

    findings, size_px = findings_of(provenance["vocabulary"]), provenance["pixels"]["size_px"]
    train = index[index["split"] == "train"].reset_index(drop=True)
    n_each = max(min(MOST_EXAMPLES, PIXEL_BUDGET // (size_px**2 * (len(findings) + 1))), 1)
    positive = train[[label_column(finding) for finding in findings]] == LabelState.POSITIVE.value
    chosen = {finding: _choose(train, positive[label_column(finding)], n_each) for finding in findings}
    chosen[""] = _choose(train, ~positive.any(axis=1), n_each)
    places = [place for of_finding in chosen.values() for place in of_finding]
    images = stored_images(folder, "train", places, size_px=size_px)
    return [
        {
            "name": display_name(finding) if finding else "No finding of these",
            "n": int(positive[label_column(finding)].sum() if finding else (~positive.any(axis=1)).sum()),
            "size_px": size_px,
            "images": [
                {
                    "uri": _data_uri(images[place]),
                    "boxes": _boxes(train["boxes"].iloc[place], finding),
                    "caption": _caption(train.iloc[place], positive.iloc[place]),
                }
                for place in of_finding
            ],
        }
        for finding, of_finding in chosen.items()
    ]


def _choose(train: pd.DataFrame, is_wanted: pd.Series, n: int) -> list[int]:
    wanted = train.loc[is_wanted, ["patient_key", "boxes"]]
    # Those with a box first: they show where to look.
    wanted = wanted.assign(without_box=wanted["boxes"] == "[]").sort_values(["without_box", "patient_key"])
    return wanted.drop_duplicates("patient_key").index[:n].tolist()


def _boxes(text: str, finding: str) -> list[dict[str, float]]:
    return [box for box in json.loads(text) if not finding or box["finding"] == finding]


def _caption(row: pd.Series, positive: pd.Series) -> str:
    names = [display_name(column.removeprefix("label_")) for column in positive.index[positive]]
    view = {"unknown": "", "lateral": "; lateral"}.get(row["view"], f"; {row['view'].upper()}")
    finer = f" ({row['sub_label']})" if row["sub_label"] else ""
    return f"{', '.join(names) or 'None'}{finer}{view}"


def _data_uri(pixels: Any) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
