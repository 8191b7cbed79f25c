"""The index of a prepared dataset beside what its shards hold: one row per example, and one per split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cxr_tasks.contracts.labels import SPLITS, label_column
from cxr_tasks.contracts.records import INDEX_COLUMNS
from expectations.derived import parsed_boxes

#: Index column -> column of the stored facts that must say the same.
_SAME = {name: name for name in ("patient_key", "source", "view", "sex", "age_years")}
EXAMPLE_COLUMNS = (*INDEX_COLUMNS, "order_fault", "label_fault", "target_fault", "metadata_fault", "box_fault")
#: Both sides are float32 or come from it.
_TOLERANCE = 1e-3


def example_table(
    index: pd.DataFrame, stored: Mapping[str, pd.DataFrame], findings: Sequence[str], size_px: int
) -> pd.DataFrame:
    """Index rows in stored order, with columns that say where the stored example differs (empty where it does not).

    Args:
        index: ``index.parquet``.
        stored: Per split the facts of its examples in stored order (see ``cxr_tasks.validate.stored_facts``).

    Returns:
        The index's columns, ``order_fault``, ``label_fault``, ``target_fault``, ``metadata_fault``, ``box_fault``,
        ``n_splits_of_patient``, and ``mean``, ``deviation``, ``grey_range`` of the pixels on the [0, 1] scale. An
        example on one side only has a row too. An index without one of its columns comes back without the rest: the
        suite then reports what is missing.
    """
    if not {*INDEX_COLUMNS, *map(label_column, findings)} <= set(index.columns):
        return index
    parts = [_split_rows(index[index["split"] == split], stored[split], findings, size_px) for split in SPLITS]
    strangers = index[~index["split"].isin(SPLITS)].assign(order_fault="not stored: its split is not known")
    table = pd.concat([*parts, *([strangers] if len(strangers) else [])], ignore_index=True)
    table["n_splits_of_patient"] = table.groupby("patient_key")["split"].transform("nunique")
    return table


def _split_rows(index: pd.DataFrame, stored: pd.DataFrame, findings: Sequence[str], size_px: int) -> pd.DataFrame:
    rows, facts = index.reset_index(drop=True), stored.reset_index(drop=True)
    length = max(len(rows), len(facts))
    rows, facts = rows.reindex(range(length)), facts.reindex(range(length))
    is_indexed, is_stored = rows["image_id"].notna(), facts["image_id"].notna()
    is_same = rows["image_id"] == facts["image_id"]
    order = np.select([~is_stored, ~is_indexed, ~is_same], ["not stored", "not in the index", "another is stored"], "")
    compared = is_same & is_stored
    table = rows.assign(image_id=rows["image_id"].where(is_indexed, facts["image_id"]))
    table["order_fault"] = order
    table["metadata_fault"] = _metadata_faults(rows, facts, compared)
    table["label_fault"] = _label_faults(rows, facts, compared, findings)
    table["target_fault"] = facts["target_fault"].fillna("")
    table["box_fault"] = _box_faults(rows, facts, compared, size_px)
    for name in ("mean", "deviation", "grey_range"):
        table[name] = facts[name]
    return table


def _metadata_faults(rows: pd.DataFrame, facts: pd.DataFrame, compared: pd.Series) -> pd.Series:
    faults = pd.Series("", index=rows.index, dtype="str")
    for ours, theirs in _SAME.items():
        own, fact = rows[ours], facts[theirs]
        if ours == "age_years":
            differs = ~((own - fact).abs() <= _TOLERANCE) & ~(own.isna() & fact.isna())
        else:
            differs = own != fact
        faults = faults.mask(compared & differs, faults + f"{ours} differs; ")
    return faults.str.removesuffix("; ")


def _label_faults(rows: pd.DataFrame, facts: pd.DataFrame, compared: pd.Series, findings: Sequence[str]) -> pd.Series:
    faults = pd.Series("", index=rows.index, dtype="str")
    for finding in findings:
        said, held = rows[label_column(finding)], facts[label_column(finding)]
        differs = compared & (said != held)
        text = finding + ": index " + said.fillna("nothing") + ", stored " + held.fillna("nothing") + "; "
        faults = faults.mask(differs, faults + text)
    return faults.str.removesuffix("; ")


def _box_faults(rows: pd.DataFrame, facts: pd.DataFrame, compared: pd.Series, size_px: int) -> pd.Series:
    faults = facts["box_fault"].fillna("").astype("str")
    marked = rows.index[compared & ((rows["boxes"] != "[]") | (facts["n_boxes"] > 0))]
    for row, text, n_stored in zip(marked, rows["boxes"][marked], facts["n_boxes"][marked].astype(int), strict=True):
        boxes, fault = parsed_boxes(text, size_px, size_px)
        if fault:
            faults[row] = f"index: {fault}"
        elif len(boxes) != n_stored:
            faults[row] = f"index has {len(boxes)}, stored are {n_stored}"
    return faults


def split_table(
    index: pd.DataFrame, stored: Mapping[str, pd.DataFrame], *, declared: Mapping[str, int], metadata: Mapping[str, int]
) -> pd.DataFrame:
    """One row per split: examples by handoff, index, TFDS metadata and shards, and a ``count_fault``."""
    rows = []
    for split in SPLITS:
        n_indexed = int((index["split"] == split).sum()) if "split" in index else 0
        counts = {
            "n_declared": declared[split],
            "n_indexed": n_indexed,
            "n_metadata": metadata.get(split, 0),
            "n_stored": len(stored[split]),
        }
        fault = "" if len(set(counts.values())) == 1 else "counts differ"
        rows.append({"split": split, **counts, "count_fault": fault})
    return pd.DataFrame(rows)
