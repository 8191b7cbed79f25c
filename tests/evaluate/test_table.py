from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.evaluate.table import check_predictions, read_predictions, rows_sha256, scored

FINDINGS = ("pneumonia",)


def test_rows_of_a_split_leave_out_unknown_targets_and_count_them(make_predictions):
    table = make_predictions()
    table.loc[table["image_id"].isin(["test/00000.png", "test/00007.png"]), "target_pneumonia"] = np.nan
    rows = scored(table, "test", "pneumonia")
    assert (rows.n, rows.n_unknown) == (198, 2)
    assert set(rows.image_id).isdisjoint({"test/00000.png", "test/00007.png"})
    assert rows.is_positive.dtype == bool


def test_a_class_of_one_patient_is_not_assessable(make_predictions):
    table = make_predictions()
    table.loc[table["target_pneumonia"] == 1.0, "patient_key"] = "p" * 16
    said = scored(table, "test", "pneumonia").too_few(5)
    assert "positive images of pneumonia in test are of one patient; at least two are needed" in said


@pytest.mark.parametrize(
    ("n_positive", "n_negative", "said"),
    [
        (5, 5, ""),
        (4, 50, "test holds 4 positive and 50 negative images of pneumonia; at least 5 of each are needed"),
        (50, 0, "test holds 50 positive and 0 negative images of pneumonia; at least 5 of each are needed"),
    ],
)
def test_too_few_says_how_many_there_are(make_predictions, n_positive, n_negative, said):
    table = make_predictions(n_test=n_positive + n_negative)
    table.loc[table["split"] == "test", "target_pneumonia"] = np.repeat([1.0, 0.0], [n_positive, n_negative])
    assert scored(table, "test", "pneumonia").too_few(5) == said


def spoil(table: pd.DataFrame, column: str, value: object) -> pd.DataFrame:
    table = table.copy()
    table.loc[3, column] = value
    return table


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns="logit_pneumonia"), "missing: logit_pneumonia"),
        (lambda t: spoil(t, "logit_pneumonia", np.nan), "found 1 of 320 that are not"),
        (lambda t: spoil(t, "logit_pneumonia", np.inf), "finite logits of pneumonia"),
        (lambda t: spoil(t, "target_pneumonia", 0.5), "expected targets 0, 1 or empty"),
        (lambda t: spoil(t, "image_id", "validation/00001.png"), "one row per image, found 1 twice"),
    ],
)
def test_a_table_that_is_not_right_is_refused(make_predictions, tmp_path, change, said):
    path = tmp_path / "predictions.parquet"
    change(make_predictions()).to_parquet(path)
    with pytest.raises(DataDefect, match=said):
        read_predictions(path, FINDINGS)


@pytest.mark.parametrize("content", [None, b"", b"not a parquet file"])
def test_a_file_that_is_no_table_is_a_data_defect(tmp_path, content):
    path = tmp_path / "predictions.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataDefect, match="expected a Parquet file"):
        read_predictions(path, FINDINGS)


def test_text_in_place_of_logits_is_a_data_defect(make_predictions, tmp_path):
    table = make_predictions()
    table["logit_pneumonia"] = "high"
    table.to_parquet(tmp_path / "predictions.parquet")
    with pytest.raises(DataDefect, match="expected numbers"):
        read_predictions(tmp_path / "predictions.parquet", FINDINGS)


def test_a_good_table_is_read_as_it_was_written(make_predictions, tmp_path):
    table = make_predictions()
    table.to_parquet(tmp_path / "predictions.parquet", index=False)
    check_predictions(table, FINDINGS, "table")
    pd.testing.assert_frame_equal(
        read_predictions(tmp_path / "predictions.parquet", FINDINGS), table, check_dtype=False
    )


def test_the_hash_of_rows_knows_ids_and_targets_but_not_order_scores_or_other_splits(make_predictions):
    table = make_predictions()
    stated = rows_sha256(table, FINDINGS)
    assert rows_sha256(table.sample(frac=1, random_state=1), FINDINGS) == stated
    assert rows_sha256(table.assign(logit_pneumonia=0.0), FINDINGS) == stated
    assert rows_sha256(table[table["split"] == "test"], FINDINGS) == stated
    place = table.index[table["split"] == "test"][0]
    other_target, other_id = table.copy(), table.copy()
    other_target.loc[place, "target_pneumonia"] = 1 - other_target.loc[place, "target_pneumonia"]
    other_id.loc[place, "image_id"] = "test/other.png"
    one_less = table.drop(index=place)
    assert len({stated, *(rows_sha256(one, FINDINGS) for one in (other_target, other_id, one_less))}) == 4
