from __future__ import annotations

import numpy as np
import pytest

from cxr_tasks.contracts.labels import VOCABULARIES
from cxr_tasks.sources.phantoms.drawing.anatomy import Anatomy, draw_layers
from cxr_tasks.sources.phantoms.drawing.cohort import PREVALENCES
from cxr_tasks.sources.phantoms.drawing.findings import SIGNS, draw_sign
from cxr_tasks.sources.phantoms.drawing.render import PhantomRequest, Shown, render

FINDINGS = tuple(SIGNS)


def make_request(*findings, **overrides):
    shown = tuple(one if isinstance(one, Shown) else Shown(one) for one in findings)
    return PhantomRequest(
        **{"seed": 7, "patient": 3, "image": 0, "size_px": 128, "is_square": True, "findings": shown, **overrides}
    )


def in_boxes(phantom, finding):
    """bool (height, width): inside a box of this finding."""
    inside = np.zeros(phantom.pixels.shape, bool)
    for box in phantom.finding_boxes:
        if box.finding == finding:
            inside[box.y : box.y + box.height, box.x : box.x + box.width] = True
    return inside


def chest(patient, size=160):
    anatomy = Anatomy.draw(np.random.default_rng(patient))
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    return anatomy, draw_layers(anatomy, x, y, np.random.default_rng(patient))


def test_the_signs_are_those_of_nih_first_and_each_has_a_share():
    assert set(VOCABULARIES["nih14"]) <= set(SIGNS)
    assert set(SIGNS) == set(PREVALENCES)


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_changes_the_picture_inside_its_boxes_and_nowhere_else(finding):
    for patient in range(12):
        well = render(make_request(patient=patient))
        ill = render(make_request(finding, patient=patient))
        inside = in_boxes(ill, finding)
        differs = ill.pixels != well.pixels
        assert inside.any()
        assert not differs[~inside].any()
        # It is seen: a twentieth of the box or more changes, parts of it by 8 grey levels or more.
        change = np.abs(ill.pixels.astype(int) - well.pixels)[inside]
        assert (change > 0).mean() > 0.05
        assert np.percentile(change, 99) >= 8


@pytest.mark.parametrize("finding", FINDINGS)
def test_boxes_are_tight_lie_in_the_picture_and_differ_between_patients(finding):
    seen = set()
    for patient in range(8):
        ill = render(make_request(finding, patient=patient))
        height, width = ill.pixels.shape
        for box in ill.finding_boxes:
            assert box.finding == finding
            assert box.x >= 0
            assert box.y >= 0
            assert 0 < box.width <= width - box.x
            assert 0 < box.height <= height - box.y
            seen.add((box.x, box.y, box.width, box.height))
    assert len(seen) >= 8


@pytest.mark.parametrize("finding", FINDINGS)
def test_boxes_are_no_larger_than_what_they_hold(finding):
    for patient in range(6):
        well, ill = render(make_request(patient=patient)), render(make_request(finding, patient=patient))
        rows, columns = np.nonzero(ill.pixels != well.pixels)
        top, left = min(box.y for box in ill.finding_boxes), min(box.x for box in ill.finding_boxes)
        bottom = max(box.y + box.height for box in ill.finding_boxes)
        right = max(box.x + box.width for box in ill.finding_boxes)
        # The last pixels of a soft rim change by less than half a grey level.
        seen = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
        assert seen > 0.5 * (bottom - top) * (right - left)


def test_no_finding_is_drawn_otherwise_because_of_another():
    alone = render(make_request("nodule")).finding_boxes
    among = render(make_request("mass", "nodule", "pleural_effusion")).finding_boxes
    assert alone == tuple(box for box in among if box.finding == "nodule")


def test_many_findings_at_once_are_each_inside_their_boxes():
    three = ("cardiomegaly", "pneumothorax", "nodule")
    for patient in range(6):
        without = render(make_request(*three[:2], patient=patient))
        with_it = render(make_request(*three, patient=patient))
        assert not (without.pixels != with_it.pixels)[~in_boxes(with_it, "nodule")].any()


@pytest.mark.parametrize("finding", FINDINGS)
def test_what_is_in_doubt_is_fainter(finding):
    def change(strength):
        total = 0.0
        for patient in range(4):
            well, ill = (
                render(make_request(patient=patient)),
                render(make_request(Shown(finding, strength), patient=patient)),
            )
            total += np.abs(ill.pixels.astype(float) - well.pixels).sum()
        return total

    assert 0.05 * change(1.0) < change(0.45) < 0.7 * change(1.0)


@pytest.mark.parametrize(
    ("finding", "sign"),
    [
        ("consolidation", 1),
        ("pneumonia", 1),
        ("infiltration", 1),
        ("mass", 1),
        ("nodule", 1),
        ("atelectasis", 1),
        ("pleural_effusion", 1),
        ("pleural_thickening", 1),
        ("cardiomegaly", 1),
        ("edema", 1),
        ("fibrosis", 1),
        ("emphysema", -1),  # more air
        ("pneumothorax", -1),  # more air than the bright line of the lung's edge
    ],
)
def test_signs_are_brighter_or_darker_as_the_disease_is(finding, sign):
    for patient in range(8):
        anatomy, layers = chest(patient)
        total = sum(float(one.sum()) for one in draw_sign(finding, 1, anatomy, layers, np.random.default_rng(patient)))
        assert sign * total > 0


def test_a_mass_is_larger_than_three_centimetres_and_a_nodule_is_not():
    # A chest is about 30 cm wide and 2 thorax units: 3 cm are 0.2 units, here 16 of 160 pixels.
    def widths(finding):
        for patient in range(20):
            anatomy, layers = chest(patient)
            for change in draw_sign(finding, 1, anatomy, layers, np.random.default_rng(patient)):
                columns = np.flatnonzero((change > 0.5 * change.max()).any(axis=0))
                yield columns[-1] - columns[0] + 1

    assert min(widths("mass")) > 16 > np.median(list(widths("nodule")))


def test_cardiomegaly_is_wider_than_any_healthy_heart():
    # Cardiothoracic ratio over one half is the textbook sign: the heart against the chest between the lungs' walls.
    for patient in range(20):
        anatomy, layers = chest(patient)
        change = draw_sign("cardiomegaly", 1, anatomy, layers, np.random.default_rng(patient))[0]
        wide = (layers.heart > 0.5) | (change > 0.1)
        rows = np.abs(layers.y[:, 0] - (anatomy.diaphragm_left - 0.3)) < 0.1
        columns = layers.x[0][wide[rows].any(axis=0)]
        chest_width = 2 * (anatomy.lung_centre + anatomy.lung_half_width)
        healthy = layers.x[0][(layers.heart[rows] > 0.5).any(axis=0)]
        assert (columns.max() - columns.min()) / chest_width > 0.5
        assert columns.max() - columns.min() > healthy.max() - healthy.min()


def test_a_lateral_view_shows_none_of_the_findings():
    lateral = render(make_request("mass", is_lateral=True))
    assert lateral.finding_boxes == ()
    assert np.array_equal(lateral.pixels, render(make_request(is_lateral=True)).pixels)
    assert not np.array_equal(lateral.pixels, render(make_request()).pixels)
