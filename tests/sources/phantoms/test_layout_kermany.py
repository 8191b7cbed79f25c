from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from cxr_tasks.sources.phantoms.layouts.layout_kermany import plan
from cxr_tasks.sources.phantoms.layouts.options import SyntheticOptions


def test_plan_has_the_images_asked_for_in_the_class_shares_of_the_original():
    files = plan(SyntheticOptions(n_images=2000))
    labels = Counter(file.image_id.split("/")[1] for file in files)
    assert len(files) == len({file.image_id for file in files}) == 2000
    assert labels["PNEUMONIA"] / labels["NORMAL"] == pytest.approx(2.7, rel=0.01)
    folders = Counter(file.image_id.split("/")[0] for file in files)
    assert folders["test"] / 2000 == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("n_images", [30, 31, 100])
def test_every_folder_holds_both_classes_however_few_images(n_images):
    files = plan(SyntheticOptions(n_images=n_images))
    places = {tuple(file.image_id.split("/")[:2]) for file in files}
    assert places == {(split, label) for split in ("train", "val", "test") for label in ("NORMAL", "PNEUMONIA")}


def test_a_patient_has_one_to_three_images_in_one_folder_and_one_class():
    places, counts = defaultdict(set), Counter()
    for file in plan(SyntheticOptions(n_images=1000)):
        places[file.request.patient].add(tuple(file.image_id.split("/")[:2]))
        counts[file.request.patient] += 1
    assert all(len(one) == 1 for one in places.values())
    assert set(counts.values()) == {1, 2, 3}


def test_form_and_size_do_not_depend_on_the_class():
    files = plan(SyntheticOptions(n_images=4000))
    is_ill = np.array([file.request.pneumonia is not None for file in files])
    for value in ([file.mode == "RGB" for file in files], [file.quality for file in files]):
        values = np.array(value, dtype=float)
        # Means differ by less than four standard errors.
        error = values.std() * np.sqrt(1 / is_ill.sum() + 1 / (~is_ill).sum())
        assert abs(values[is_ill].mean() - values[~is_ill].mean()) < 4 * error
