"""What a registered version was trained on, image by image, with what its starting weights were trained on before."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.datasets.content import content_of_splits, read_rows_of_content
from cxr_tasks.datasets.latest import dataset_of
from cxr_tasks.registry import tracking

if TYPE_CHECKING:
    import pandas as pd

    from cxr_tasks.registry.version_files import LoadedVersion

log = logging.getLogger(__name__)

#: Among the artifacts of a training's MLflow run: the columns of ``datasets.content`` of all that its weights follow
#: from, validation included, as epoch, calibration and thresholds were chosen by it.
ARTIFACT = "trained_on.parquet"
SPLITS = ("train", "validation")


def trained_on(loaded: LoadedVersion, work: Path) -> pd.DataFrame:
    """The images that a version was trained on, a row with ``content.CONTENT_COLUMNS`` for each; its record is fetched
    into ``work``.

    Of a version trained before such records were kept, the training and validation images of its dataset.

    Raises:
        DataDefect: It is not recorded, and the dataset is not on disk any more.
        ServiceUnavailable: MLflow does not answer.
    """
    with tracking.outside_failures("MLflow"):
        client = tracking.client()
        if any(artifact.path == ARTIFACT for artifact in client.list_artifacts(loaded.run_id)):
            work.mkdir(parents=True, exist_ok=True)
            return read_rows_of_content(Path(client.download_artifacts(loaded.run_id, ARTIFACT, str(work))))
    named = f"{loaded.model_name} version {loaded.version}"
    name, fingerprint = loaded.contract.dataset, loaded.contract.dataset_fingerprint
    try:
        content = content_of_splits(dataset_of(name, fingerprint), SPLITS)
    except DataDefect as error:
        raise DataDefect(
            f"{named}: expected a record of the images it was trained on ({ARTIFACT} on its MLflow run), or its "
            f"dataset {name} {fingerprint[:16]} on disk, found neither: which images it has seen cannot be told. "
            "Restore the dataset's folder, or train the version again"
        ) from error
    log.info("%s has no record of its images; those of its dataset %s are taken", named, name)
    return content
