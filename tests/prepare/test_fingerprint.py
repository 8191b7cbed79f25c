"""What makes two prepared datasets the same."""

from __future__ import annotations

import dataclasses

import pytest

from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.prepare.fingerprint import fingerprint_of

RECIPE = load_recipe("synthetic_binary")


def test_order_of_rows_and_training_settings_do_not_matter(image_folder, make_manifest):
    manifest = make_manifest(image_folder)
    other = dataclasses.replace(RECIPE, train=dataclasses.replace(RECIPE.train, epochs=1))
    assert fingerprint_of(manifest, RECIPE) == fingerprint_of(manifest.sample(frac=1, random_state=1), other)


@pytest.mark.parametrize(
    "column", ["file_sha256", "split", "label_pneumonia", "patient_id", "age_years", "boxes", "view"]
)
def test_any_change_of_content_matters(image_folder, make_manifest, column):
    manifest = make_manifest(image_folder)
    changed = manifest.copy()
    changed.loc[3, column] = 99.0 if column == "age_years" else "other"
    assert fingerprint_of(manifest, RECIPE) != fingerprint_of(changed, RECIPE)


def test_pixel_settings_matter(image_folder, make_manifest):
    manifest = make_manifest(image_folder)
    other = dataclasses.replace(RECIPE, pixels=PixelSpec(size_px=RECIPE.pixels.size_px, fit="crop"))
    assert fingerprint_of(manifest, RECIPE) != fingerprint_of(manifest, other)
