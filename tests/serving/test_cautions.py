from __future__ import annotations

import dataclasses
import math
import shutil

import pandas as pd
import pytest

from cxr_tasks.contracts.serving_contract import FILE_NAME, TrainedOn
from serving.served.cautions import cautions, served_contract

ADULTS = TrainedOn(n_images=1000, n_age_known=900, n_under_18=2, n_view_known=950, n_lateral=0)


@pytest.mark.parametrize(
    ("age_years", "view", "said"),
    [
        (17.9, "pa", ["17.9 years old", "900 training images", "2 are of patients under 18"]),
        (0.25, "ap", ["0.25 years old"]),
        (18.0, "pa", []),
        (math.nan, "unknown", []),
        (50.0, "lateral", ["lateral view", "950 training images", "0 are lateral"]),
    ],
)
def test_what_the_model_was_trained_without_is_said(age_years, view, said):
    found = cautions(ADULTS, age_years=age_years, view=view)
    assert len(found) == bool(said)
    assert all(one in " ".join(found) for one in said)


def test_nothing_is_said_of_what_it_was_trained_on_or_what_nobody_knows():
    children = dataclasses.replace(ADULTS, n_under_18=20, n_lateral=20)
    assert cautions(children, age_years=3.0, view="lateral") == ()
    unknown = TrainedOn(n_images=1000, n_age_known=0, n_under_18=0, n_view_known=0, n_lateral=0)
    assert cautions(unknown, age_years=3.0, view="lateral") == ()
    assert cautions(None, age_years=3.0, view="lateral") == ()


def test_both_are_said_at_once():
    assert len(cautions(ADULTS, age_years=3.0, view="lateral")) == 2


def test_the_training_rows_are_counted():
    from cxr_tasks.evaluate.stage import trained_on

    rows = pd.DataFrame({"age_years": [3.0, 18.0, float("nan"), 70.0], "view": ["pa", "lateral", "unknown", "lateral"]})
    assert trained_on(rows) == TrainedOn(n_images=4, n_age_known=3, n_under_18=1, n_view_known=3, n_lateral=2)


@pytest.mark.tf
def test_the_contract_of_a_served_version_is_read_from_its_folder(exported, contract, cxr_home):
    from serving.served.version_folders import version_folder

    assert served_contract("cxr_binary", 3) is None
    folder = version_folder("cxr_binary", 3) / "assets.extra"
    folder.mkdir(parents=True)
    shutil.copyfile(exported / "assets.extra" / FILE_NAME, folder / FILE_NAME)
    assert served_contract("cxr_binary", 3) == contract
    (folder / FILE_NAME).write_text("{}")
    assert served_contract("cxr_binary", 3) is None
