"""Images that were served and whose labels came back (``cxr feedback --images``): a dataset of what is really asked.

A patient who is in a split of the dataset that the served version was made of stays there. All others are dealt by
their key, for ever: more labels move nobody. Most of them are to test and to calibrate by, as that is what labels from
practice are for first.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.families import MODELS
from cxr_tasks.contracts.labels import LabelState, findings_of
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.labels.images import kept_images, labelled_images_root
from cxr_tasks.labels.store import labels_of_images
from cxr_tasks.sources.base import About, ImageRecord, SourceScan, by_image_id

if TYPE_CHECKING:
    import pandas as pd

#: Of the patients who are in no split yet; the rest is to train on.
SHARES = {"test": 0.3, "validation": 0.3}
#: A patient whom any image was trained on is in train, wherever else they are.
_STRONGEST_FIRST = ("train", "validation", "test")


class FeedbackSource:
    """Labels in force, of the images that are kept."""

    name = "feedback"
    about = About(
        origin="Images that a served version was asked about, with labels that came back.",
        terms="Of the operator: the permission under which these images were collected also bounds the use of the "
        "model.",
        limits=(
            "The images are those whose labels came back: a selection of what was served, as the page of labels says.",
        ),
        patients="see that the labels name the patient",
        splits_hold=True,
    )

    def own_root(self, spec: DatasetSpec) -> Path | None:
        return labelled_images_root(_model(spec))

    def scan(self, root: Path, spec: DatasetSpec) -> SourceScan:
        """The images below ``root`` with the latest label of each finding; one that nobody labelled is unmentioned."""
        model, findings = _model(spec), findings_of(spec.vocabulary)
        files = kept_images(model)
        labels = labels_of_images(model)
        labels = labels[labels["image"].isin(list(files)) & labels["finding"].isin(findings)]
        if labels.empty:
            raise DataDefect(
                f"{root}: expected images of {model} whose labels came back, found {len(files)} images and no label of "
                "one; keep some with 'cxr feedback LABELS.csv --images DIR'"
            )
        split_of = _splits(labels)
        records = []
        for image, of_image in labels.groupby("image", sort=True):
            said = dict(zip(of_image["finding"], of_image["label"], strict=True))
            patient = next((key for key in of_image["patient_key"] if key), f"image-{image}")
            states = {finding: LabelState(said.get(finding, LabelState.UNMENTIONED)) for finding in findings}
            records.append(
                ImageRecord(
                    image_id=files[str(image)].name, patient_id=patient, study_id=str(image), states=states,
                    official_split=split_of.get(patient) or split_of.get(str(image)) or dealt(patient),
                )
            )  # fmt: skip
        n_without = len(files) - len(records)
        notes = (f"{n_without} images are kept whose labels name none of the findings",) if n_without else ()
        return SourceScan(root=root, records=sorted(records, key=by_image_id), notes=notes)


def dealt(patient: str) -> str:
    """The split of a patient who is in none yet: the same for the same key, whoever else there is.

    >>> [dealt(patient) for patient in ("0123", "4567", "89ab", "0123")]
    ['test', 'train', 'validation', 'test']
    """
    place = int(hashlib.sha256(patient.encode()).hexdigest()[:12], 16) / 16**12
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    return "train"


def _splits(labels: pd.DataFrame) -> dict[str, str]:
    """Patient key, or image where no patient is told, -> the split in which labels found them."""
    split_of: dict[str, str] = {}
    for split in reversed(_STRONGEST_FIRST):
        of_split = labels[labels["split"] == split]
        split_of |= dict.fromkeys([*of_split["image"], *filter(None, of_split["patient_key"])], split)
    return split_of


def _model(spec: DatasetSpec) -> str:
    model = spec.options.get("model")
    if set(spec.options) != {"model"} or model not in MODELS:
        raise ConfigurationError(
            f"dataset.options of source feedback: expected model, one of {', '.join(MODELS)}, found {spec.options}"
        )
    return str(model)


SOURCE = FeedbackSource()
