"""Predictions as the MLflow run keeps them: no image id, and found again by a report in another place."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
from cxr_tasks.evaluate.predictions_of_run import FILE, predictions_of_run, with_image_ids, without_image_ids
from cxr_tasks.evaluate.table import rows_sha256
from cxr_tasks.installation.storage.files import reference_to
from cxr_tasks.installation.storage.paths import relocated


def make_table() -> pd.DataFrame:
    draw = np.random.default_rng(3)
    split = ["validation"] * 4 + ["test"] * 6
    return pd.DataFrame(
        {
            "image_id": [f"NORMAL/person{7 * place}_{place}.jpeg" for place in range(10)],
            "patient_key": [f"{place:016x}" for place in range(10)],
            "split": split,
            "source": "kermany",
            "view": "frontal",
            "sex": "unknown",
            "age_years": np.nan,
            "target_pneumonia": draw.integers(0, 2, 10).astype(float),
            "logit_pneumonia": draw.normal(size=10),
        }
    )


def make_prepared(folder: Path, table: pd.DataFrame) -> PreparedDataset:
    """Its index: the same images in stored order, training images between them."""
    folder.mkdir(parents=True)
    train = pd.DataFrame({"image_id": ["a", "b"], "split": "train"})
    pd.concat([table.iloc[4:], train, table.iloc[:4]])[["image_id", "split"]].to_parquet(folder / "index.parquet")
    return PreparedDataset(
        dataset="kermany",
        folder=str(folder),
        fingerprint="f" * 64,
        index=reference_to(folder / "index.parquet"),
        vocabulary="binary",
        size_px=64,
        n_train=2,
        n_validation=4,
        n_test=6,
    )


@pytest.fixture
def run(cxr_home: Path, tmp_path: Path):
    """What an evaluation left: its own table, and the artifacts of its MLflow run."""
    table = make_table()
    own = cxr_home / "runs" / "x" / "evaluate" / "predictions.parquet"
    own.parent.mkdir(parents=True)
    table.to_parquet(own)
    evaluated = EvaluatedModel(
        model_name="cxr_binary",
        mlflow_run_id="r",
        predictions=reference_to(own),
        metrics=reference_to(own),
        test_auroc=0.9,
        test_auroc_lower=0.8,
        test_auroc_upper=1.0,
    )
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    without_image_ids(table).to_parquet(fetched / FILE)
    prepared = make_prepared(cxr_home / "datasets" / "kermany" / ("f" * 16), table)
    return table, evaluated, fetched, prepared, rows_sha256(table, ["pneumonia"])


def test_no_image_id_is_kept(run):
    table, _, fetched, _, _ = run
    kept = pd.read_parquet(fetched / FILE)
    assert kept["image_id"].tolist() == [
        *(f"validation/{place}" for place in range(4)),
        *(f"test/{place}" for place in range(6)),
    ]
    assert "person" not in kept.to_csv()
    pd.testing.assert_frame_equal(kept.drop(columns="image_id"), table.drop(columns="image_id"))


def test_report_finds_the_table_without_the_runs_own_folder(run, cxr_home: Path, tmp_path: Path):
    table, evaluated, fetched, prepared, stated = run
    Path(evaluated.predictions.uri).unlink()
    out = predictions_of_run(fetched, evaluated, prepared, stated, ["pneumonia"], tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(out), table)


def test_run_made_before_is_read_from_its_folder_also_where_that_was_moved(
    run, cxr_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    table, evaluated, fetched, prepared, stated = run
    (fetched / FILE).unlink()
    moved = tmp_path / "another disk" / "var"
    moved.parent.mkdir()
    cxr_home.rename(moved)
    monkeypatch.setenv("CXR_HOME", str(moved))
    found = predictions_of_run(fetched, evaluated, prepared, stated, ["pneumonia"], tmp_path / "out.parquet")
    assert found.is_relative_to(moved)
    pd.testing.assert_frame_equal(pd.read_parquet(found), table)
    assert relocated(prepared.folder) == moved / "datasets" / "kermany" / ("f" * 16)


def test_rows_of_another_dataset_are_refused(run, tmp_path: Path):
    table, evaluated, fetched, _, stated = run
    other = make_prepared(tmp_path / "other", table.assign(image_id=table["image_id"].str.upper()))
    with pytest.raises(DataDefect, match="do not belong together"):
        predictions_of_run(fetched, evaluated, other, stated, ["pneumonia"], tmp_path / "out.parquet")
    fewer = dataclasses.replace(other, folder="", index=make_prepared(tmp_path / "few", table.iloc[:5]).index)
    with pytest.raises(DataDefect, match="5 of 10 predictions are of places"):
        predictions_of_run(fetched, evaluated, fewer, stated, ["pneumonia"], tmp_path / "out.parquet")


def test_names_come_back_in_any_order_of_the_table():
    table = make_table()
    shuffled = without_image_ids(table).sample(frac=1, random_state=1)
    back = with_image_ids(shuffled, table).sort_index()
    pd.testing.assert_frame_equal(back, table)
