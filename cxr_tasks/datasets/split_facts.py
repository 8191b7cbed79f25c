"""Which rule made the test split of a dataset, and whom it moved in or out of it: counted, for report and card."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.dataset_files import ChangedSince, Moved, SplitFacts
from cxr_tasks.datasets.latest import LATEST_FILE, latest_dataset
from cxr_tasks.installation.storage.files import verified_path
from cxr_tasks.installation.storage.paths import datasets_root

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def split_facts(manifest: pd.DataFrame) -> SplitFacts:
    """What became of the source's own splits, from a manifest with a row for each image.

    ``rule`` is ``official`` where the source has a test split, which is then all of test but for what is moved, else
    ``dealt``: by the salted hash. ``moved_in`` are images and patients whom the source has in train or validation and
    who stand in test, as the same patient or picture is there; ``moved_out`` those of the source's test split who do
    not stand in test. ``n_official`` are the images of the source's test split.
    """
    official, split = manifest["official_split"].astype(str), manifest["split"].astype(str)
    is_official_test = official == "test"
    moved_in = (split == "test") & ~is_official_test & (official != "")
    if not is_official_test.any():
        return {"rule": "dealt"}
    return {
        "rule": "official",
        "n_official": int(is_official_test.sum()),
        "moved_in": _counted(manifest, moved_in),
        "moved_out": _counted(manifest, is_official_test & (split != "test")),
        "from_nowhere": _counted(manifest, (split == "test") & (official == "")),
    }


def _counted(manifest: pd.DataFrame, is_meant: pd.Series) -> Moved:
    return {"images": int(is_meant.sum()), "patients": int(manifest.loc[is_meant, "patient_id"].nunique())}


def changes_since(index: pd.DataFrame, name: str, fingerprint: str) -> ChangedSince | None:
    """Patients who stood in another split in the newest version of dataset ``name``; None where there is none other.

    ``index`` has a row for each image, with ``patient_key`` and ``split``.

    Patients are known by their keys: where salt or secret have changed, nobody is.
    """
    import pandas as pd

    if not (datasets_root() / name / LATEST_FILE).is_file():
        return None
    newest = latest_dataset(name)
    if newest.fingerprint == fingerprint or not Path(newest.index.uri).is_file():
        return None
    before = pd.read_parquet(verified_path(newest.index), columns=["patient_key", "split"])
    was, now = (table.drop_duplicates("patient_key").set_index("patient_key")["split"] for table in (before, index))
    both = pd.concat([was, now], axis=1, keys=["was", "now"], join="inner")
    moved = both[both["was"] != both["now"]]
    return {
        "fingerprint": newest.fingerprint,
        "n_known": len(both),
        "into_test": int((moved["now"] == "test").sum()),
        "out_of_test": int((moved["was"] == "test").sum()),
        "between_others": int(((moved["now"] != "test") & (moved["was"] != "test")).sum()),
    }


def split_sentences(facts: SplitFacts | None, split: Mapping[str, Any]) -> list[str]:
    """What happened, for a person.

    Args:
        facts: ``splits`` of ``provenance.json``; None of a dataset prepared before that was kept.
        split: The recipe's ``split``.
    """
    share, salt = split["validation"] * 100, split["salt"]
    validation = f"Validation: {share:g} % of the patients outside test, dealt by a hash with the salt {salt!r}."
    if not facts:
        return [validation, "Test: which rule made it was not recorded when this dataset was prepared."]
    if facts["rule"] == "dealt":
        test = f"Test: the source has no test split; {split['test'] * 100:g} % of all patients, dealt by the same hash."
    else:
        test = f"Test: the source's own test split, {facts['n_official']} images; {_moves(facts)}"
    return [validation, test, *_since(facts.get("changed_since"))]


def _moves(facts: SplitFacts) -> str:
    moved_in, moved_out = facts["moved_in"], facts["moved_out"]
    if not moved_in["images"] and not moved_out["images"]:
        return "no patient was moved into it or out of it."
    return (
        f"{moved_in['images']} images of {moved_in['patients']} patients were moved into it from the source's training "
        "or validation images, because the same patient or the same picture is in the test split; "
        f"{moved_out['images']} images of {moved_out['patients']} patients were moved out of it."
    )


def _since(changed: ChangedSince | None) -> list[str]:
    if not changed:
        return []
    moved = [
        (changed["into_test"], "moved into test"),
        (changed["out_of_test"], "out of test"),
        (changed["between_others"], "between train and validation"),
    ]
    told = ", ".join(f"{n} {where}" for n, where in moved)
    before = changed["fingerprint"][:8]
    return [f"Against version {before} of the dataset, of {changed['n_known']} patients known from it {told}."]
