"""What two versions of a dataset have in common and what not: patients, images, labels, splits, settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from cxr_tasks.contracts.dataset_files import Provenance
from cxr_tasks.installation.storage.files import read_json

if TYPE_CHECKING:
    import pandas as pd

#: What is told of an image beside its label, pixels and split.
DETAILS = ("source", "view", "sex", "age_years", "sub_label", "boxes", "patient_key")


# Keys that are words of the language can be declared in no other way.
ImageDifferences = TypedDict(
    "ImageDifferences",
    {
        "n_before": int,
        "n_after": int,
        "out": list[str],  # ids that only the dataset before has
        "in": list[str],  # ids that only the one after has
        "content": list[str],  # ids of other files; this and what follows of those that both have
        "split": dict[str, list[str]],  # "train -> test" and the like -> ids
        "details": dict[str, list[str]],  # detail -> ids
    },
)
Differences = TypedDict(
    "Differences",
    {
        "from": str,
        "to": str,
        "settings": dict[str, list[Any]],  # dotted name -> old and new value
        "patients": dict[str, int] | None,  # None: the two share no salt, so patients cannot be told to be the same
        "images": ImageDifferences,
        "labels": dict[str, dict[str, list[str]]],  # finding that both have -> change of state -> ids
        "findings": dict[str, list[str]],  # "out" and "in" -> findings
    },
)


def differences(before: Path, after: Path) -> Differences:
    """What changed from the dataset in folder ``before`` to that in ``after``."""
    import pandas as pd

    old, new = (pd.read_parquet(folder / "index.parquet").set_index("image_id") for folder in (before, after))
    made_before, made_after = (read_json(folder / "provenance.json") for folder in (before, after))
    both = old.index.intersection(new.index)
    was, now = old.loc[both], new.loc[both]
    settings = _settings(made_before, made_after)
    has_one_salt = "split.salt" not in settings
    details = [name for name in DETAILS if name != "patient_key" or has_one_salt]
    return {
        "from": made_before["fingerprint"],
        "to": made_after["fingerprint"],
        "settings": settings,
        "patients": _patients(old, new) if has_one_salt else None,
        "images": {
            "n_before": len(old),
            "n_after": len(new),
            "out": sorted(old.index.difference(new.index)),
            "in": sorted(new.index.difference(old.index)),
            "content": _changed(was, now, "file_sha256"),
            "split": _transitions(was, now, "split"),
            "details": {name: ids for name in details if (ids := _changed(was, now, name))},
        },
        "labels": {
            name.removeprefix("label_"): moved
            for name in old.columns
            if name.startswith("label_") and name in new.columns and (moved := _transitions(was, now, name))
        },
        "findings": {"out": _findings_without(old, new), "in": _findings_without(new, old)},
    }


def _patients(old: pd.DataFrame, new: pd.DataFrame) -> dict[str, int]:
    was, now = (table.groupby("patient_key")["split"].first() for table in (old, new))
    both = was.index.intersection(now.index)
    return {
        "n_before": len(was),
        "n_after": len(now),
        "out": len(was.index.difference(now.index)),
        "in": len(now.index.difference(was.index)),
        "split": int((was[both] != now[both]).sum()),
    }


def _is_changed(was: pd.Series, now: pd.Series) -> pd.Series:
    return (was != now) & ~(was.isna() & now.isna())


def _changed(was: pd.DataFrame, now: pd.DataFrame, name: str) -> list[str]:
    return sorted(was.index[_is_changed(was[name], now[name])])


def _transitions(was: pd.DataFrame, now: pd.DataFrame, name: str) -> dict[str, list[str]]:
    """``old -> new`` and the ids it happened to."""
    rows = _is_changed(was[name], now[name])
    words = was.loc[rows, name] + " -> " + now.loc[rows, name]
    return {str(word): sorted(ids) for word, ids in words.index.to_series().groupby(words)}


def _findings_without(table: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    names = [str(name) for name in table.columns if name not in other.columns]
    return [name.removeprefix("label_") for name in names if name.startswith("label_")]


def _settings(before: Provenance, after: Provenance) -> dict[str, list[Any]]:
    """Settings that differ; those that a version does not tell are None."""
    was, now = (_flat(provenance.get("settings") or {"pixels": provenance["pixels"]}) for provenance in (before, after))
    was["prepare version"], now["prepare version"] = (
        provenance["versions"]["prepare"] for provenance in (before, after)
    )
    names = [*was, *(name for name in now if name not in was)]
    return {name: [was.get(name), now.get(name)] for name in names if was.get(name) != now.get(name)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
