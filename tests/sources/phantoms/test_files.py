from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.contracts.labels import LabelState
from cxr_tasks.sources.phantoms.drawing.cohort import Visit
from cxr_tasks.sources.phantoms.drawing.render import Shown, render
from cxr_tasks.sources.phantoms.layouts.files import PhantomFile, draw_files, request_for


def make_visit(**states):
    return Visit(patient=3, number=1, split="train", sex="male", age_years=50, view="pa", states=states)


def make_file(image_id, visit, **overrides):
    request = request_for(visit, seed=5, size_px=96, is_square=True)
    return PhantomFile(**{"image_id": image_id, "request": request, "visit": visit, **overrides})


def test_a_request_shows_what_is_there_and_faintly_what_is_in_doubt():
    visit = make_visit(mass=LabelState.POSITIVE, edema=LabelState.UNCERTAIN, hernia=LabelState.NEGATIVE)
    request = request_for(visit, seed=5, size_px=96, is_square=True)
    assert [one.finding for one in request.findings] == ["mass", "edema"]
    assert request.findings[0] == Shown("mass", 1.0)
    assert 0 < request.findings[1].strength < 1
    assert (request.patient, request.image) == (3, 1)


def test_only_certain_findings_have_boxes(tmp_path):
    visit = make_visit(mass=LabelState.POSITIVE, edema=LabelState.UNCERTAIN)
    (drawn,) = draw_files([(str(tmp_path), make_file("a.png", visit))])
    assert {box.finding for box in drawn.boxes} == {"mass"}
    assert (drawn.width, drawn.height) == (96, 96)


@pytest.mark.parametrize(
    ("image_id", "mode", "file_format"),
    [("a.png", "L", "PNG"), ("a.png", "RGBA", "PNG"), ("a.jpg", "L", "JPEG"), ("a.jpeg", "RGB", "JPEG")],
)
def test_files_have_the_form_asked_for_and_the_pixels_drawn(tmp_path, image_id, mode, file_format):
    file = make_file(image_id, make_visit(mass=LabelState.POSITIVE), mode=mode)
    draw_files([(str(tmp_path), file)])
    with Image.open(tmp_path / image_id) as picture:
        assert (picture.format, picture.mode) == (file_format, mode)
        stored = np.asarray(picture.convert("L")).astype(int)
    # JPEG loses a little; PNG nothing.
    assert np.abs(stored - render(file.request).pixels).mean() < (3 if file_format == "JPEG" else 0.01)


def test_an_image_without_a_visit_says_so():
    file = dataclasses.replace(make_file("a.png", make_visit()), visit=None)
    with pytest.raises(ValueError, match="a.png: expected an image of a visit"):
        _ = file.known_visit
