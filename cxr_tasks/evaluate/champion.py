"""The champion as the gate sees it: its scores on the candidate's own test rows, each model with its own pixels."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import DataDefect, ServiceUnavailable
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.judgement import ChampionEvidence
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.datasets.content import content_of_splits
from cxr_tasks.datasets.latest import stored_pixels
from cxr_tasks.datasets.leaks import overlap_of
from cxr_tasks.datasets.trained_on import trained_on
from cxr_tasks.evaluate.reuse import record_test_read
from cxr_tasks.installation.storage.files import read_json, sha256_file
from cxr_tasks.installation.storage.paths import RunPaths, relocated
from cxr_tasks.installation.tensorflow_start import start_tensorflow
from cxr_tasks.registry import version_files, versions

if TYPE_CHECKING:
    import pandas as pd

    from cxr_tasks.datasets.load import StoredSplit

log = logging.getLogger(__name__)

#: Share of the test images that a champion may have seen; where it has seen more, the rest says little.
MOST_SEEN = 0.5


def champion_for_gate(prepared: PreparedDataset, recipe: Recipe, paths: RunPaths) -> ChampionEvidence | None:
    """The champion's scores on the test split of ``prepared``, or why there are none; None where no champion exists.

    A champion that cannot be loaded or scored is evidence with a reason: the gate then asks for a person.

    Raises:
        ServiceUnavailable: The registry does not answer.
    """
    champion = versions.version_with_alias(recipe.model_name, versions.CHAMPION)
    if champion is None:
        log.info("%s has no champion yet", recipe.model_name)
        return None
    number, work = int(champion.version), paths.stage("gate")
    try:
        loaded = version_files.load_version(recipe.model_name, number, work / "champion")
    except ServiceUnavailable:
        raise
    except Exception as error:  # whatever is wrong with it, it must not end in a pass, nor hold up the candidate
        return _unscored(number, error)
    if loaded.contract.findings != recipe.findings:
        named = ", ".join(loaded.contract.findings)
        return _unscored(number, DataDefect(f"expected the findings {', '.join(recipe.findings)}, found {named}"))
    try:
        seen = trained_on(loaded, work / "champion")
    except DataDefect as error:
        return _unscored(number, error)
    sha256 = champion.tags.get("model.sha256", "")
    return evidence_of(number, loaded.model_path, loaded.contract.pixels, prepared, recipe, paths, seen, sha256)


def evidence_of(
    version: int,
    model_path: Path,
    pixels: PixelSpec,
    prepared: PreparedDataset,
    recipe: Recipe,
    paths: RunPaths,
    seen: pd.DataFrame,
    model_sha256: str = "",
) -> ChampionEvidence:
    """The scores of the model in ``model_path``, which was trained on ``pixels``, or why there are none.

    Test images that the champion was trained on, or whose patients it has seen, are left out: it would look better on
    them than it is. Where more than ``MOST_SEEN`` of them are, there is nothing to compare by.

    Args:
        seen: The images it was trained on (``datasets.trained_on``).
        model_sha256: Of the file that was registered; of ``model_path`` where it is empty.
    """
    out = paths.stage("gate") / f"champion_{version}_predictions.parquet"
    try:
        content = content_of_splits(prepared, ["test"])
        overlap = overlap_of(content, seen)
        told = overlap.sentence("test images", f"champion {version}")
        if overlap.n_seen > MOST_SEEN * len(content):
            raise DataDefect(told.removesuffix("."))
        record_test_read(
            content, purpose="champion", model_name=recipe.model_name, version=version,
            model_sha256=model_sha256 or sha256_file(model_path), dataset=prepared.dataset,
            fingerprint=prepared.fingerprint, who="airflow",
        )  # fmt: skip
        _score(model_path, pixels, prepared, recipe, out)
    except Exception as error:  # as above; Keras and TensorFlow raise errors of many kinds
        return _unscored(version, error)
    log.info("champion %d scored on the %d test images of %s", version, prepared.n_test, prepared.dataset)
    log.log(logging.WARNING if overlap.n_seen else logging.INFO, "%s", told)
    left_out = frozenset(content.loc[overlap.is_seen, "image_id"])
    return ChampionEvidence(version=version, predictions=out, left_out=left_out, left_out_why=told if left_out else "")


def _unscored(version: int, error: Exception) -> ChampionEvidence:
    log.warning("champion %d cannot be scored: %s", version, error, exc_info=error)
    return ChampionEvidence(version=version, reason=str(error) or type(error).__name__)


def _score(model_path: Path, pixels: PixelSpec, prepared: PreparedDataset, recipe: Recipe, out: Path) -> None:
    start_tensorflow()
    from cxr_tasks.datasets.load import stored_split
    from cxr_tasks.evaluate.predict import predictions_of, write_predictions
    from cxr_tasks.train.networks.saved import load_model

    model = load_model(model_path, size_px=pixels.size_px, n_findings=len(recipe.findings))
    stored = stored_split(prepared, "test", recipe.findings, out.parent, labels=recipe.train.labels)
    if pixels != stored_pixels(prepared).spec:
        stored = _with_pixels(pixels, stored, prepared)
    write_predictions(predictions_of(model, stored, recipe.findings), out)


def _with_pixels(spec: PixelSpec, stored: StoredSplit, prepared: PreparedDataset) -> StoredSplit:
    """The same test rows with pixels as the champion was trained on, decoded from the original files."""
    import dataclasses

    import numpy as np

    from cxr_tasks.images.decode import decode_files

    root = relocated(Path(read_json(relocated(prepared.folder) / "provenance.json")["root"]))
    pixels = np.empty((len(stored.rows), spec.size_px, spec.size_px, 1), np.uint8)
    left_out = decode_files(root, stored.rows, spec, into=pixels)
    if left_out:
        raise DataDefect(f"{len(left_out)} of {len(pixels)} test images cannot be decoded for it: {left_out[0].reason}")
    return dataclasses.replace(stored, images=pixels)
