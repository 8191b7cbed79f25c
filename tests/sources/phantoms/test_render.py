from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxr_tasks.sources.phantoms.drawing.render import PhantomRequest, render


def make_request(**overrides):
    return PhantomRequest(**{"seed": 7, "patient": 3, "image": 0, "size_px": 128, "pneumonia": None, **overrides})


def test_same_request_same_pixels_and_no_memory_of_others():
    first = render(make_request())
    render(make_request(patient=9, pneumonia="virus"))
    again = render(make_request())
    assert np.array_equal(first.pixels, again.pixels)
    assert first.boxes == again.boxes


@pytest.mark.parametrize("change", [{"seed": 8}, {"patient": 4}, {"image": 1}])
def test_seed_patient_and_image_each_change_the_picture(change):
    first, other = render(make_request()).pixels, render(make_request(**change)).pixels
    assert first.shape != other.shape or not np.array_equal(first, other)


@pytest.mark.parametrize("size_px", [96, 256])
def test_pictures_are_grey_with_the_contrast_of_an_xray_and_sides_around_the_nominal(size_px):
    for image in range(12):
        pixels = render(make_request(image=image, size_px=size_px)).pixels
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 2
        assert all(0.65 * size_px < side < 1.5 * size_px for side in pixels.shape)
        assert 25 < pixels.mean() < 215
        assert pixels.std() > 15


@pytest.mark.parametrize("kind", ["bacteria", "virus"])
def test_pneumonia_changes_the_picture_in_its_boxes_far_more_than_elsewhere(kind):
    inside, outside = [], []
    for image in range(10):
        well = render(make_request(image=image))
        ill = render(make_request(image=image, pneumonia=kind))
        assert well.pixels.shape == ill.pixels.shape  # pose does not depend on what is shown
        change = np.abs(ill.pixels.astype(float) - well.pixels)
        in_box = np.zeros(change.shape, bool)
        for x, y, width, height in ill.boxes:
            in_box[y : y + height, x : x + width] = True
        inside.append(change[in_box].mean())
        outside.append(change[~in_box].mean())
    assert np.mean(inside) > 3 * np.mean(outside)


@pytest.mark.parametrize(("kind", "fewest", "most"), [(None, 0, 0), ("bacteria", 1, 2), ("virus", 1, 4)])
def test_boxes_lie_in_the_picture_one_per_opacity(kind, fewest, most):
    for image in range(15):
        phantom = render(make_request(image=image, pneumonia=kind))
        rows, columns = phantom.pixels.shape
        assert fewest <= len(phantom.boxes) <= most
        for x, y, width, height in phantom.boxes:
            assert 0 <= x < x + width <= columns
            assert 0 <= y < y + height <= rows
            assert width * height < 0.4 * rows * columns


def test_anatomy_follows_the_patient_not_the_image():
    """Two images of one patient, brought to one grid, are more alike than images of different patients."""

    def profile(patient, image):
        # Mean grey of the columns: lungs, spine and chest wall; pose and exposure blur but do not hide it.
        pixels = render(make_request(patient=patient, image=image, size_px=192)).pixels.mean(axis=0)
        shrunk = np.interp(np.linspace(0, 1, 48), np.linspace(0, 1, len(pixels)), pixels)
        return (shrunk - shrunk.mean()) / shrunk.std()

    same, other = [], []
    for patient in range(40):
        one = profile(patient, 0)
        same.append(np.corrcoef(one, profile(patient, 1))[0, 1])
        other.append(np.corrcoef(one, profile(patient + 100, 1))[0, 1])
    assert np.mean(same) > np.mean(other)


def test_global_greys_do_not_tell_pneumonia():
    requests = [make_request(patient=patient, size_px=96) for patient in range(150)]
    well = np.array([render(one).pixels.mean() for one in requests])
    ill = np.array(
        [
            render(dataclasses.replace(one, patient=one.patient + 500, pneumonia="virus")).pixels.mean()
            for one in requests
        ]
    )
    auroc = (ill[:, None] > well[None, :]).mean()
    assert 0.35 < auroc < 0.65  # three standard errors at n = 150 + 150 are about 0.1
