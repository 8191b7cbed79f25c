from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cxr_tasks.sources.phantoms.faults import fault_files
from cxr_tasks.sources.phantoms.faults.planting import Ground
from cxr_tasks.sources.phantoms.layouts.layouts import LAYOUTS
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions


@pytest.fixture
def ground(tmp_path):
    options = SyntheticOptions(n_images=30, size_px=96, layout="nih")
    return Ground(layout="nih", folder=tmp_path, files=LAYOUTS["nih"].plan(options), rng=np.random.default_rng(5))


def test_a_bomb_is_small_and_claims_to_be_huge(ground):
    content = fault_files.bomb(ground, ground.files[0])
    assert len(content) < 1000
    side = fault_files.BOMB_SIDE_PX
    assert int.from_bytes(content[16:20]) == int.from_bytes(content[20:24]) == side
    assert side * side > 1e9
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(content))


@pytest.mark.parametrize(
    ("content", "file_format", "mode", "n_frames"),
    [
        (fault_files.two_frames, "PNG", "L", 2),
        (fault_files.print_colours, "JPEG", "CMYK", 1),
        (fault_files.palette_colours, "PNG", "P", 1),
        (fault_files.false_colours, "PNG", "P", 1),
        (fault_files.sixteen_bits, "PNG", "I;16", 1),
    ],
)
def test_pictures_are_of_the_kind_that_they_are_meant_to_be(ground, content, file_format, mode, n_frames):
    file = ground.files[0]
    with Image.open(io.BytesIO(content(ground, file))) as picture:
        assert (picture.format, picture.mode, getattr(picture, "n_frames", 1)) == (file_format, mode, n_frames)
        assert picture.size == ground.pixels(file).shape[::-1]


def test_inverted_twice_is_as_before_and_a_thumbnail_is_small():
    pixels = np.arange(96 * 96, dtype=np.uint8).reshape(96, 96)
    assert np.array_equal(fault_files.inverted(fault_files.inverted(pixels)), pixels)
    assert fault_files.thumbnail(pixels).shape == (40, 40)
    assert np.ptp(fault_files.one_grey(pixels)) == 0


def test_false_colours_run_from_blue_to_red(ground):
    with Image.open(io.BytesIO(fault_files.false_colours(ground, ground.files[0]))) as picture:
        palette = np.array(picture.getpalette("RGB")).reshape(-1, 3)
    assert palette[[0, 128, 255]].tolist() == [[0, 0, 255], [128, 254, 127], [255, 0, 0]]


def test_a_linked_folder_leads_out_of_the_data_folder(ground):
    ground.path(ground.files[0]).parent.mkdir(parents=True)
    planted = fault_files.plant_linked_folder(ground, 2)
    assert [one.image_id for one in planted] == ["images/linked_0", "images/linked_1"]
    for one in planted:
        target = (ground.folder / one.image_id).resolve()
        assert target.is_dir()
        assert not target.is_relative_to(ground.folder.resolve())
