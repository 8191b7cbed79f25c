"""The page of a prepared dataset: what it says, and what it must not."""

from __future__ import annotations

import base64
import dataclasses
import html.parser
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.installation.storage.files import reference_to
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.prepare.overview import bars_of, source_note

RECIPE = dataclasses.replace(load_recipe("synthetic_binary"), pixels=PixelSpec(size_px=16))


class Page(html.parser.HTMLParser):
    """Tags with their attributes, and the text without styles."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = [("", {})]
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags[-1][0] != "style":
            self.text += f" {data}"


@pytest.fixture
def prepared(cxr_home, image_folder, make_manifest, validated):
    from cxr_tasks.prepare.stage import prepare_dataset
    from cxr_tasks.validate.profile import profile_of

    box = json.dumps([{"finding": "pneumonia", "x": 5, "y": 5, "width": 10, "height": 9}])
    manifest = make_manifest(image_folder, boxes=[box if one % 2 else "[]" for one in range(12)])
    manifest.loc[manifest["image_id"] == "p0_0.png", "label_pneumonia"] = "uncertain"
    manifest.loc[manifest["image_id"] == "p0_0.png", ["sub_label", "mode"]] = "<img src=x onerror=run()>"
    studies = validated(image_folder, manifest)
    Path(studies.profile.uri).write_text(json.dumps(profile_of(manifest, "synthetic_binary", "pneumonia")))
    Path(studies.manifest.uri).with_name("quarantine.csv").write_text(
        "image_id,reason,detail,action\na.png,truncated,,\nb.png,truncated,,\n<script>.png,too_small,,\n"
    )
    studies = dataclasses.replace(studies, profile=reference_to(Path(studies.profile.uri)))
    return prepare_dataset(studies, RECIPE, RunPaths.for_run("d", "1"))


@pytest.mark.tf
def test_the_page_holds_counts_states_checks_and_settings(prepared):
    page = Page((Path(prepared.folder) / "overview.html").read_text())
    words = " ".join(page.text.split())
    for said in (
        "synthetic_binary: prepared dataset",
        f"Version {prepared.fingerprint[:16]}",
        "Files not used 3",
        "19 of 21",                # expectations less warnings
        "too small 1",
        "truncated 2",
        "30 to 39",
        "size_px: 16",
        prepared.fingerprint,
    ):  # fmt: skip
        assert said in words, said
    # One image of train is uncertain: of its four, two are positive and one is negative.
    assert "train 2 1 1 0 66.7 %" in words
    assert [tag for tag, _ in page.tags].count("svg") >= 9  # histograms and examples


@pytest.mark.tf
def test_the_page_names_no_image_and_no_patient_and_loads_nothing(prepared):
    text = (Path(prepared.folder) / "overview.html").read_text()
    index = pd.read_parquet(prepared.index.uri)
    for secret in (*index["image_id"], *index["image_id"].str.removesuffix(".png"), *index["patient_key"]):
        assert secret not in re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text)
    page = Page(text)
    assert not {"script", "link rel=stylesheet", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    policy = next(one["content"] for tag, one in page.tags if one.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action"):
            target = attributes.get(name, "#")
            assert target.startswith(("#", "data:")), (tag, target)
        assert not any(name.startswith("on") for name in attributes)


@pytest.mark.tf
def test_examples_are_train_images_as_stored_with_their_boxes(prepared, image_folder):
    from cxr_tasks.images.pixels import standard_pixels

    page = Page((Path(prepared.folder) / "overview.html").read_text())
    shown = [one["href"] for tag, one in page.tags if tag == "image"]
    train = {
        standard_pixels((image_folder / f"p{patient}_{number}.png").read_bytes(), RECIPE.pixels).numpy().tobytes()
        for patient in (0, 1)
        for number in (0, 1)
    }
    assert len(shown) == 2  # of each of the two patients one
    for uri in shown:
        picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        assert np.asarray(picture).tobytes() in train
    after_images = [page.tags[place + 1] for place, (tag, _) in enumerate(page.tags) if tag == "image"]
    boxes = [one for tag, one in after_images if tag == "rect"]
    # 30 x 25 pixels: 10 of 30 and 9 of 25, or 27, become 16 x 16.
    assert boxes and all(float(one["width"]) == pytest.approx(16 / 3, abs=0.06) for one in boxes)


@pytest.mark.tf
def test_the_page_can_be_made_again(prepared):
    from cxr_tasks.prepare.overview import render_overview

    path = Path(prepared.folder) / "overview.html"
    text = path.read_text()
    path.unlink()
    assert render_overview(Path(prepared.folder)) == path and path.read_text() == text


def test_bars_fill_their_frame_and_nothing_is_flat():
    assert bars_of([0, 0]) == [(0.0, 50.0, 0.0), (50.0, 50.0, 0.0)]
    assert bars_of([1, 2, 4])[2] == (66.667, 33.333, 40.0)


@pytest.mark.parametrize("source", ["kermany", "synthetic"])
def test_a_source_is_described_in_its_own_words(source):
    note = " ".join(source_note({"settings": {"dataset": {"source": source}}}))
    assert len(note) > 50 and "``" not in note


@pytest.mark.parametrize("source", ["", "gone", "../x"])
def test_a_source_that_is_not_there_is_not_described(source):
    assert source_note({"settings": {"dataset": {"source": source}}}) == []
