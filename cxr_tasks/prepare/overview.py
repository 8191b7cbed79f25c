"""``overview.html`` of a prepared dataset: counts, distributions and example images as one page that loads nothing."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cxr_tasks.contracts.dataset_files import Provenance, Statistics
from cxr_tasks.contracts.labels import SPLITS, LabelState, display_name
from cxr_tasks.installation.storage.files import read_json, write_text
from cxr_tasks.prepare.overview_examples import example_groups
from cxr_tasks.sources.base import source_module, source_names

if TYPE_CHECKING:
    import pandas as pd

OVERVIEW_FILE = "overview.html"
TEMPLATES = Path(__file__).resolve().parents[1] / "report" / "templates"
#: Classes of age, in years, of the distribution: up to below each.
AGE_EDGES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 200)
#: Words of the reference profile as people read them, in the order shown.
STATISTIC_NAMES = {
    "mean": "Mean grey of the original",
    "deviation": "Deviation of its greys",
    "entropy": "Entropy (bits)",
    "sharpness": "Sharpness",
    "border_fraction": "Share in uniform borders",
    "width_px": "Width (px)",
    "height_px": "Height (px)",
}
WORD_NAMES: dict[Literal["view", "sex", "source", "sub_label"], str] = {
    "view": "View",
    "sex": "Sex",
    "source": "Source",
    "sub_label": "Finer label",
}
FORM_NAMES = {"file_format": "File format", "mode": "Mode", "bit_depth": "Bits per value"}


def render_overview(folder: Path) -> Path:
    """Write ``overview.html`` into ``folder``, a prepared dataset, and return its path.

    One self-contained page without a script. It names no image and no patient, by id or by key.

    Raises:
        DataDefect: A file of the dataset is missing or broken.
    """
    import pandas as pd
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    provenance, statistics = read_json(folder / "provenance.json"), read_json(folder / "statistics.json")
    reference = read_json(folder / "reference_profile.json")
    index = pd.read_parquet(folder / "index.parquet")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["percent"] = lambda value: f"{value * 100:.1f} %"
    # Ours and constant, so it may stand unescaped.
    css = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704
    context = {
        "css": css,
        "provenance": provenance,
        "tiles": _tiles(statistics, provenance),
        "splits": [{"split": split, **statistics[split]} for split in SPLITS],
        "n_images": sum(statistics[split]["n_images"] for split in SPLITS),
        "labels": label_rows(statistics),
        "states": [state.value for state in LabelState],
        "words": word_tables(statistics),
        "ages": age_bars(index),
        "greys": _grey_bars(statistics),
        "originals": _original_bars(reference),
        "forms": _form_rows(reference),
        "examples": example_groups(folder, index, provenance),
        "settings": settings_text(provenance),
        "source_note": source_note(provenance),
    }
    path = folder / OVERVIEW_FILE
    write_text(path, environment.get_template("dataset.html.j2").render(context))
    return path


def _tiles(statistics: Statistics, provenance: Provenance) -> list[tuple[str, str, str]]:
    n_images = sum(statistics[split]["n_images"] for split in SPLITS)
    n_patients = sum(statistics[split]["n_patients"] for split in SPLITS)
    quarantine = provenance.get("quarantine")
    refused = "not recorded" if quarantine is None else f"{sum(quarantine.values()):,}"
    validation = provenance.get("validation")
    size = provenance["pixels"]["size_px"]
    return [
        ("Images", f"{n_images:,}", f"{size} x {size} grey values each"),
        ("Patients", f"{n_patients:,}", "each in one split only"),
        ("Files not used", refused, f"and {provenance['n_left_out']:,} left out when decoded"),
        (
            "Expectations met",
            f"{validation['n_expectations'] - validation['n_warnings']} of {validation['n_expectations']}"
            if validation
            else "not recorded",
            "the others are warnings; a critical one would have stopped here",
        ),
    ]


def label_rows(statistics: Statistics) -> list[dict[str, Any]]:
    """Per finding and split the images by state, and the share of positives among those whose label is known."""
    findings = statistics[SPLITS[0]]["labels"]
    return [
        {
            "finding": display_name(finding),
            "splits": [{"split": split, **statistics[split]["labels"][finding]} for split in SPLITS],
        }
        for finding in findings
    ]


def word_tables(statistics: Statistics) -> list[dict[str, Any]]:
    """Shares of views, sexes, sources and finer labels in each split; a column with one word for all is left out."""
    tables = []
    for column, name in WORD_NAMES.items():
        words = sorted({word for split in SPLITS for word in statistics[split][column]})
        if len(words) < 2:
            continue
        rows = [
            {
                "name": word.replace("_", " ") or "none",
                "shares": [
                    statistics[split][column].get(word, 0) / max(statistics[split]["n_images"], 1) for split in SPLITS
                ],
            }
            for word in words
        ]
        tables.append({"name": name, "rows": rows})
    return tables


def age_bars(index: pd.DataFrame) -> dict[str, Any] | None:
    """Share of the images of each split by class of age; None where no age is known."""
    import numpy as np

    known = index["age_years"].notna()
    if not known.any():
        return None
    edges = [0, *AGE_EDGES]
    names = [f"{low} to {high - 1}" if high - low > 1 else str(low) for low, high in itertools.pairwise(edges)]
    names[-1] = f"{edges[-2]} and over"
    counts = {split: np.histogram(index["age_years"][known & (index["split"] == split)], edges)[0] for split in SPLITS}
    rows = [
        {"name": name, "shares": [counts[split][place] / max(counts[split].sum(), 1) for split in SPLITS]}
        for place, name in enumerate(names)
        if any(counts[split][place] for split in SPLITS)
    ]
    return {"rows": rows, "n_unknown": int((~known).sum())}


def _grey_bars(statistics: Statistics) -> list[dict[str, Any]]:
    """Histograms of the stored grey values of each split, and of the means of its images."""
    pixels = {split: statistics[split]["pixels"] for split in SPLITS}
    what = {
        "all pixels": {split: of_split["histogram"] for split, of_split in pixels.items()},
        "mean of each image": {split: of_split["image_means"].get("histogram") for split, of_split in pixels.items()},
    }
    return [
        {"name": name, "low": "black", "high": "white", "splits": [(split, bars_of(of[split])) for split in SPLITS]}
        for name, of in what.items()
        if all(of.values())
    ]


def _original_bars(reference: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Histograms of the original files, from the reference profile."""
    originals = []
    for name, title in STATISTIC_NAMES.items():
        statistic = reference.get("statistics", {}).get(name)
        if statistic and sum(statistic["counts"]):
            first, last = _used(statistic["counts"])
            edges = statistic["edges"]
            low = _below(edges[0]) if first == 0 else f"{edges[first - 1]:.3g}"
            high = f"{edges[min(last, len(edges) - 1)]:.3g}"
            originals.append(
                {"name": title, "low": low, "high": high, "bars": bars_of(statistic["counts"][first : last + 1])}
            )
    return originals


def _below(edge: float) -> str:
    """What stands at the open end of a histogram; shares have a class of their own for none at all."""
    return "0" if edge < 1e-6 else f"below {edge:.3g}"


def _used(counts: Sequence[float]) -> tuple[int, int]:
    """First and last place with something in it."""
    filled = [place for place, count in enumerate(counts) if count]
    return filled[0], filled[-1]


def bars_of(values: Sequence[float]) -> list[tuple[float, float, float]]:
    """x, width and height of each bar in a frame of 100 by 40; the tallest fills it.

    >>> bars_of([1, 2])
    [(0.0, 50.0, 20.0), (50.0, 50.0, 40.0)]
    """
    width, tallest = 100 / len(values), max(values) or 1
    return [
        (round(place * width, 3), round(width, 3), round(40 * value / tallest, 2)) for place, value in enumerate(values)
    ]


def _form_rows(reference: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the original files were, in words: none of it is stored with the pixels."""
    rows = []
    for name, title in FORM_NAMES.items():
        counts = reference.get("words", {}).get(name, {})
        if counts:
            ordered = sorted(counts.items(), key=lambda item: -item[1])
            rows.append((title, ", ".join(f"{word} {n:,}" for word, n in ordered)))
    return rows


def settings_text(provenance: Provenance) -> str:
    """The recipe's parts that the dataset depends on, as YAML."""
    import yaml

    settings = provenance.get("settings", {"pixels": provenance["pixels"]})
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def source_note(provenance: Provenance) -> list[str]:
    """What the source's module says of itself: where the images come from, whom to cite, what is taken from them."""
    source = provenance.get("settings", {}).get("dataset", {}).get("source", "")
    if source not in source_names():
        return []
    text = inspect.getdoc(importlib.import_module(source_module(source))) or ""
    return [" ".join(paragraph.replace("``", "").split()) for paragraph in text.split("\n\n")]
