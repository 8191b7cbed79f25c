"""A scan of a small folder in CheXpert's layout."""

from __future__ import annotations

from pathlib import Path

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.contracts.specs import DatasetSpec
from cxr_tasks.sources.base import SourceScan
from cxr_tasks.sources.chexpert.source import SOURCE
from tests.sources.chexpert_files import row

POSITIVE, NEGATIVE = LabelState.POSITIVE, LabelState.NEGATIVE
UNCERTAIN, UNMENTIONED = LabelState.UNCERTAIN, LabelState.UNMENTIONED
FIRST = "train/patient00001/study1/view1_frontal.jpg"
LATERAL = "train/patient00002/study2/view2_lateral.jpg"


def scan(root: Path, vocabulary: str = "chexpert14", **options: object) -> SourceScan:
    return SOURCE.scan(root, DatasetSpec(name="c", source="chexpert", vocabulary=vocabulary, options=options))


def ids(found: SourceScan) -> list[str]:
    return [record.image_id for record in found.records]


def many(n_images: int) -> list[dict[str, str]]:
    return [row(f"train/patient{number:05d}/study1/view1_frontal.jpg") for number in range(1, n_images + 1)]
