"""The champion as the gate sees it: its scores on the candidate's own test rows, each model with its own pixels."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.artifacts import read_json
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.handoffs import PreparedDataset
from cxr_tasks.contracts.paths import RunPaths
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.gate import ChampionEvidence
from cxr_tasks.registry import versions

if TYPE_CHECKING:
    from cxr_tasks.evaluate.predict import StoredSplit

log = logging.getLogger(__name__)


def champion_for_gate(prepared: PreparedDataset, recipe: Recipe, paths: RunPaths) -> ChampionEvidence | None:
    """The champion's scores on the test split of ``prepared``, or why there are none; None where no champion exists.

    A champion that cannot be loaded or scored is evidence with a reason: the gate then refuses, it does not pass.

    Raises:
        ServiceUnavailable: The registry does not answer.
    """
    found = versions.version_with_alias(recipe.model_name, versions.CHAMPION)
    if found is None:
        log.info("%s has no champion yet", recipe.model_name)
        return None
    number, work = int(found.version), paths.stage("gate")
    try:
        loaded = versions.load_version(recipe.model_name, number, work / "champion")
        predictions = _score(loaded, prepared, recipe, work / f"champion_{number}_predictions.parquet")
    except (DataDefect, ConfigurationError, versions.NoSuchVersion) as error:
        log.warning("champion %d cannot be scored: %s", number, error)
        return ChampionEvidence(version=number, reason=str(error))
    return ChampionEvidence(version=number, predictions=predictions)


def _score(loaded: versions.LoadedVersion, prepared: PreparedDataset, recipe: Recipe, out: Path) -> Path:
    from cxr_tasks.evaluate.predict import load_model, predictions_of, stored_split, write_predictions

    if loaded.contract.findings != recipe.findings:
        raise DataDefect(f"expected the findings {recipe.findings}, found {loaded.contract.findings}")
    size_px = loaded.contract.pixels.size_px
    model = load_model(loaded.model_path, size_px=size_px, n_findings=len(recipe.findings))
    stored = stored_split(prepared, "test", recipe.findings, out.parent)
    if loaded.contract.pixels != recipe.pixels:
        stored = _with_pixels_of(loaded, stored, prepared)
    write_predictions(predictions_of(model, stored, recipe.findings), out)
    log.info("champion %d scored on the %d test images of %s", loaded.version, len(stored.rows), prepared.dataset)
    return out


def _with_pixels_of(loaded: versions.LoadedVersion, stored: StoredSplit, prepared: PreparedDataset) -> StoredSplit:
    """The same test rows with pixels as the champion was trained on, decoded from the original files."""
    import dataclasses

    import numpy as np

    from cxr_tasks.prepare.decode import decode_files

    root = Path(read_json(Path(prepared.folder) / "provenance.json")["root"])
    size_px = loaded.contract.pixels.size_px
    pixels = np.empty((len(stored.rows), size_px, size_px, 1), np.uint8)
    left_out = decode_files(root, stored.rows, loaded.contract.pixels, into=pixels)
    if left_out:
        raise DataDefect(f"{len(left_out)} of {len(pixels)} test images cannot be decoded for it: {left_out[0].reason}")
    return dataclasses.replace(stored, images=pixels)
