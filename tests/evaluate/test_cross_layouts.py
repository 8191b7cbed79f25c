"""A model of one vocabulary on phantoms in the layout of another: the right columns of many meet, in another order."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.handoffs.dataset import PreparedDataset, ValidatedStudies
from cxr_tasks.contracts.labels import findings_of, label_column, shared_findings
from cxr_tasks.contracts.recipes import Recipe, load_recipe
from cxr_tasks.contracts.serving_contract import FindingDecision, ServingContract
from cxr_tasks.contracts.specs import EvaluateSpec, PixelSpec
from cxr_tasks.datasets.content import content_of_splits
from cxr_tasks.evaluate.elsewhere.measure import evaluate_elsewhere
from cxr_tasks.evaluate.table import read_predictions
from cxr_tasks.installation.storage.files import reference_to, verified_path
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.sources.phantoms.layouts.layouts import LAYOUTS
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions
from cxr_tasks.sources.synthetic import write_phantoms

pytestmark = pytest.mark.tf
#: Recipe by layout, and its pixels here.
RECIPES, PIXELS = {"nih": "nih_cnn", "chexpert": "chexpert_cnn"}, PixelSpec(size_px=32)
#: Logit of output ``j`` is about ``STEP * j``: no image moves one as far as the next.
STEP = 10.0


def recipe_for(layout: str) -> Recipe:
    recipe = load_recipe(RECIPES[layout])
    return dataclasses.replace(recipe, pixels=PIXELS, evaluate=EvaluateSpec(bootstrap_samples=100))


def prepared_phantoms(folder, layout: str) -> PreparedDataset:
    from cxr_tasks.prepare.stage import prepare_dataset
    from tests.ingest.folders import ingest_source

    recipe, paths = recipe_for(layout), RunPaths.for_run("cross_layouts", layout)
    write_phantoms(folder, SyntheticOptions(layout=layout, n_images=90, size_px=96))
    ingested = ingest_source(recipe, str(folder / LAYOUTS[layout].data_folder), paths)
    (folder / "profile.json").write_text("{}")
    studies = ValidatedStudies(
        dataset=ingested.dataset, root=ingested.root, manifest=ingested.manifest, validation=ingested.manifest,
        profile=reference_to(folder / "profile.json"), data_docs="", n_expectations=0, n_warnings=0,
    )  # fmt: skip
    return prepare_dataset(studies, recipe, paths)


def model_of(folder, n_findings: int):
    """Every output answers to brightness, a little, from a level of its own."""
    import keras

    image = keras.Input((PIXELS.size_px, PIXELS.size_px, 1))
    mean = keras.layers.GlobalAveragePooling2D()(image)
    head = keras.layers.Dense(n_findings, name="head")
    model = keras.Model(image, head(mean))
    head.set_weights([np.ones((1, n_findings)), STEP * np.arange(n_findings)])
    model.save(folder / "model.keras")
    return folder / "model.keras"


def test_chest_xray14_and_chexpert_share_seven_findings_in_another_order():
    shared = shared_findings("nih14", "chexpert14")
    assert len(shared) == 7
    assert set(shared) == set(shared_findings("chexpert14", "nih14")) == set(findings_of("shared7"))
    assert shared != shared_findings("chexpert14", "nih14")


@pytest.mark.parametrize(("trained", "other"), [("nih", "chexpert"), ("chexpert", "nih")])
def test_each_shared_finding_gets_its_own_output_and_its_own_labels(cxr_home, tmp_path, trained, other):
    recipe, prepared = recipe_for(trained), prepared_phantoms(tmp_path, other)
    known = recipe.findings
    contract = ServingContract(
        model_name="cxr_multilabel",
        pixels=PIXELS,
        # Takes the output's own level off: with the calibration of another finding all or none would be called.
        decisions=tuple(
            FindingDecision(finding=one, a=1.0, b=-STEP * place, threshold=0.6) for place, one in enumerate(known)
        ),
        dataset=trained,
        dataset_fingerprint="e" * 64,
        recipe=recipe.name,
        recipe_sha256="0" * 64,
    )
    path = model_of(tmp_path, len(known))
    nothing = content_of_splits(prepared, [])
    metrics = evaluate_elsewhere(path, contract, recipe, prepared, tmp_path / "cross", seen=nothing)
    shared = shared_findings(recipe.dataset.vocabulary, prepared.vocabulary)
    assert tuple(metrics.findings) == shared
    assert len(shared) == 7
    assert [findings_of(prepared.vocabulary).index(one) for one in shared] != sorted(
        findings_of(prepared.vocabulary).index(one) for one in shared
    )
    table = read_predictions(tmp_path / "cross" / "predictions.parquet", shared).set_index("image_id")
    index = pd.read_parquet(verified_path(prepared.index)).set_index("image_id").loc[table.index]
    targets = set()
    for finding in shared:
        level = table[f"logit_{finding}"] - STEP * known.index(finding)
        assert level.between(0.0, 1.5).all(), finding
        is_positive, is_negative = (index[label_column(finding)] == one for one in ("positive", "negative"))
        assert (table.loc[is_positive, f"target_{finding}"] == 1.0).all(), finding
        assert (table.loc[is_negative, f"target_{finding}"] == 0.0).all(), finding
        assert is_positive.any()
        targets.add(tuple(is_positive))
        measured = metrics.by_finding[finding].operating_points["own"].test
        n_called = measured.true_positives + measured.false_positives
        is_test = table["split"] == "test"
        assert n_called == int((level[is_test] >= np.log(0.6 / 0.4)).sum())
        assert 0 < n_called < measured.n
    assert len(targets) == 7  # no two findings are on the same images, so a column in another's place would be seen
