"""What makes two prepared datasets the same."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.prepare import fingerprint
from cxr_tasks.prepare.fingerprint import CONTENT_COLUMNS, fingerprint_of
from tests.builders import manifest_table

RECIPE = load_recipe("synthetic_binary")


def test_order_of_rows_and_training_settings_do_not_matter(image_folder, make_manifest):
    manifest = make_manifest(image_folder)
    other = dataclasses.replace(RECIPE, train=dataclasses.replace(RECIPE.train, epochs=1))
    assert fingerprint_of(manifest, RECIPE) == fingerprint_of(manifest.sample(frac=1, random_state=1), other)


@pytest.mark.parametrize("column", [*CONTENT_COLUMNS, "label_pneumonia"])
@pytest.mark.parametrize("row", [0, 11])
def test_any_change_of_content_matters(image_folder, make_manifest, column, row):
    manifest = make_manifest(image_folder)
    changed = manifest.copy()
    changed.loc[row, column] = 99.0 if column == "age_years" else "other"
    assert fingerprint_of(manifest, RECIPE) != fingerprint_of(changed, RECIPE)


def test_an_image_more_or_less_matters(image_folder, make_manifest):
    manifest = make_manifest(image_folder)
    assert fingerprint_of(manifest, RECIPE) != fingerprint_of(manifest[1:], RECIPE)


@given(digit=st.integers(0, 63), row=st.integers(0, 11))
def test_one_digit_of_one_file_hash_matters(digit, row):
    manifest = manifest_table(12)
    changed = manifest.copy()
    before = manifest.loc[row, "file_sha256"]
    changed.loc[row, "file_sha256"] = before[:digit] + "f" + before[digit + 1 :]
    assert fingerprint_of(manifest, RECIPE) != fingerprint_of(changed, RECIPE)


@pytest.mark.parametrize("column", ["mean", "entropy", "duplicate_group", "flags", "mode", "file_format"])
def test_what_is_not_stored_does_not_matter(column):
    manifest = manifest_table(12)
    other = manifest.assign(**{column: 0.25 if column in {"mean", "entropy"} else "other"})
    assert fingerprint_of(manifest, RECIPE) == fingerprint_of(other, RECIPE)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("pixels", {"size_px": 65}),
        ("pixels", {"fit": "crop"}),
        ("split", {"salt": "other"}),      # patient keys are made with it
        ("dataset", {"name": "another"}),
    ],
)  # fmt: skip
def test_settings_of_what_is_stored_matter(part, changes):
    manifest = manifest_table(12)
    other = dataclasses.replace(RECIPE, **{part: dataclasses.replace(getattr(RECIPE, part), **changes)})
    assert fingerprint_of(manifest, RECIPE) != fingerprint_of(manifest, other)


def test_the_version_of_the_code_matters(monkeypatch):
    manifest = manifest_table(12)
    before = fingerprint_of(manifest, RECIPE)
    monkeypatch.setattr(fingerprint, "PREPARE_VERSION", fingerprint.PREPARE_VERSION + 1)
    assert fingerprint_of(manifest, RECIPE) != before
