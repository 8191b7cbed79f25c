"""How much of a label can be told without looking at the lungs: mutual information with properties of the file."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import chdtri

from cxr_tasks.contracts.labels import LabelState, label_column
from expectations.label_table import ABSENT

#: What a label could be guessed from: how the file was made, and coarse looks that come with a machine or a ward.
FILE_PROPERTIES = ("file_format", "mode", "bit_depth", "size", "aspect_ratio")
LOOKS = ("mean", "deviation", "sharpness", "border_fraction")
#: Numbers are put into this many bins of equal frequency.
_N_BINS = 10
#: Unrelated data reach the "chance" of a row once in this many tables; a run of 14 findings makes 126 rows.
_ONCE_IN = 1000
COLUMNS = ("finding", "property", "n_images", "bits", "share", "share_beyond_chance")


def shortcut_table(manifest: pd.DataFrame, findings: Sequence[str]) -> pd.DataFrame:
    """The table that the suite ``manifest_shortcuts`` is about: one row per finding and property of the file.

    ``bits``: mutual information of property and presence, with the bias of small samples taken off; ``share``: the
    same as a share of the label's entropy; ``share_beyond_chance``: the share left when what unrelated data of this
    size reach once in a thousand times is taken off (0 at least). Uncertain labels are left out. Findings and
    properties whose columns are missing are left out too.
    """
    values = _properties(manifest)
    rows = []
    for finding in findings:
        if label_column(finding) not in manifest or "patient_id" not in manifest:
            continue
        state = manifest[label_column(finding)]
        is_present = (state == LabelState.POSITIVE).to_numpy()
        used = is_present | state.isin([str(word) for word in ABSENT]).to_numpy()
        n_patients = int(manifest.loc[used, "patient_id"].nunique())
        for name, bins in values.items():
            measured = _measured(bins[used], is_present[used], n_patients)
            rows.append({"finding": finding, "property": name, "n_images": int(used.sum()), **measured})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _properties(manifest: pd.DataFrame) -> dict[str, np.ndarray]:
    """Property -> bin number of each row."""
    table = manifest
    if {"width_px", "height_px"} <= set(manifest):
        width, height = manifest["width_px"], manifest["height_px"]
        table = manifest.assign(size=width * height, aspect_ratio=width / height)
    return {name: binned(table[name]) for name in (*FILE_PROPERTIES, *LOOKS) if name in table}


def _measured(bins: np.ndarray, is_present: np.ndarray, n_patients: int) -> dict[str, float]:
    entropy = _entropy_bits(np.bincount(is_present.astype(int)))
    if not entropy:
        return {"bits": 0.0, "share": 0.0, "share_beyond_chance": 0.0}
    plain, freedom = mutual_information(bins, is_present)
    # Images of one patient resemble each other, so patients are counted, not images.
    per_bit = 2 * max(n_patients, 1) * math.log(2)
    bits = max(plain - freedom / per_bit, 0.0)
    chance = float(chdtri(freedom, 1 / _ONCE_IN)) / per_bit if freedom else 0.0
    return {
        "bits": round(bits, 4),
        "share": round(bits / entropy, 4),
        "share_beyond_chance": round(max(plain - chance, 0.0) / entropy, 4),
    }


def binned(values: pd.Series) -> np.ndarray:
    """Bin number of each value, int ``(n,)``: one per word or per number where these are few, else by quantiles.

    Missing values have a bin of their own: that a value is missing can give a label away too.
    """
    if not pd.api.types.is_numeric_dtype(values) or values.nunique() <= _N_BINS:
        return pd.factorize(values, use_na_sentinel=False)[0]
    edges = np.unique(values.quantile(np.arange(1, _N_BINS) / _N_BINS))
    numbers = values.to_numpy(float)
    return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="right"))


def mutual_information(bins: np.ndarray, is_present: np.ndarray) -> tuple[float, int]:
    """Mutual information of two discrete columns in bits as counted (never below 0), and its degrees of freedom.

    Of unrelated data, 2 n ln(2) times the first is distributed as chi-square with the second, (a - 1)(b - 1) for a
    and b values that occur; its mean is the bias (Miller, in Information Theory in Psychology, 1955). Sources: Cover &
    Thomas, Elements of Information Theory (2006), 2.28; Wilks, Ann. Math. Statist. 9:60-62 (1938).

    >>> mutual_information(np.array([0, 0, 1, 1]), np.array([False, False, True, True]))
    (1.0, 1)
    """
    _, bins = np.unique(bins, return_inverse=True)
    n_bins = int(bins.max()) + 1 if len(bins) else 0
    counts = np.bincount(bins * 2 + is_present, minlength=2 * n_bins).reshape(n_bins, 2)
    by_bin, by_label = counts.sum(axis=1), counts.sum(axis=0)
    bits = _entropy_bits(by_bin) + _entropy_bits(by_label) - _entropy_bits(counts.ravel())
    return max(bits, 0.0), max(n_bins - 1, 0) * (int((by_label > 0).sum()) - 1 if len(bins) else 0)


def _entropy_bits(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(shares * np.log2(shares)).sum() + 0.0)
