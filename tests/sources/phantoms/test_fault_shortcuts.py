from __future__ import annotations

import pytest

from cxr_tasks.sources.phantoms.faults.faults import FAULTS
from tests.ingest.inspected_files import inspect_file


def seen(drawn, told):
    """What ``told`` says of the files of ill images, and of those of all others."""
    scan = drawn.scan()
    found = {True: [], False: []}
    for record in scan.records:
        found[record.states["pneumonia"] == "positive"].append(told(inspect_file(scan.root, record.image_id)))
    return found


@pytest.mark.parametrize(
    ("name", "told", "expected"),
    [
        ("mode_shortcut", lambda image: image.mode, {True: {"RGB"}, False: {"L"}}),
        ("format_shortcut", lambda image: image.file_format, {True: {"PNG"}, False: {"JPEG"}}),
    ],
)
@pytest.mark.parametrize("layout", ["kermany", "nih", "chexpert"])
def test_the_shortcut_is_in_every_ill_image_and_in_no_other(draw, cxr_home, layout, name, told, expected):
    drawn = draw(layout, {name: 1})
    found = seen(drawn, told)
    assert {is_ill: set(values) for is_ill, values in found.items()} == expected
    assert len(drawn.planted) == len(found[True]) > 0


@pytest.mark.parametrize("layout", FAULTS["size_shortcut"].layouts)
def test_ill_images_are_larger_by_half_and_all_others_as_they_were(draw, cxr_home, layout):
    def sides(image):
        return image.width_px, image.height_px

    usual, changed = seen(draw(layout), sides), seen(draw(layout, {"size_shortcut": 1}), sides)
    assert changed[False] == usual[False]
    assert changed[True] == [(round(1.5 * width), round(1.5 * height)) for width, height in usual[True]]


@pytest.mark.parametrize("layout", ["kermany", "nih", "chexpert", "dicom"])
def test_boxes_grow_with_their_pictures(draw, layout):
    def boxes(drawn):
        ill = [one for one in drawn.scan().records if one.states["pneumonia"] == "positive"]
        # Those of NIH's table refer to a frame of their own, whatever the size of a file.
        scale = 1.0 if layout == "nih" or not drawn.planted else 1.5
        return [
            (box.x / scale, box.y / scale, box.width / scale, box.height / scale) for one in ill for box in one.boxes
        ]

    usual = boxes(draw(layout))
    assert usual
    assert boxes(draw(layout, {"size_shortcut": 1})) == usual


def test_shortcuts_add_up(draw, cxr_home):
    drawn = draw("nih", {"mode_shortcut": 1, "format_shortcut": 1, "size_shortcut": 1})
    found = seen(drawn, lambda image: (image.mode, image.file_format, image.width_px))
    assert {is_ill: set(values) for is_ill, values in found.items()} == {
        True: {("RGB", "PNG", 144)},
        False: {("L", "JPEG", 96)},
    }
