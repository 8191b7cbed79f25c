"""Labels that come later: all kept, the latest in force, and what they tell of a version."""

from __future__ import annotations

import dataclasses
import stat
import uuid
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.release import RegisteredModel
from cxr_tasks.contracts.metrics import by_name
from cxr_tasks.feedback.labels import read_labels
from cxr_tasks.feedback.live import MIN_EACH
from cxr_tasks.feedback.stage import measure, not_served_words, selection_words, table_of
from cxr_tasks.installation.storage.paths import monitor_root
from cxr_tasks.labels.store import all_labels, feedback_root, keep_labels
from cxr_tasks.predictions.log import append_rows
from tests.evaluations import make_evaluation, make_record
from tests.image_files import encoded, smooth
from tests.monitor.worlds import FINDINGS, drawn, logged, reference

DAY = date(2026, 3, 1)
NOW = datetime(2026, 4, 1, tzinfo=UTC)
MODEL = RegisteredModel(model_name="cxr_binary", version=1, mlflow_run_id="ab" * 16, alias="champion")
HASH = "0123456789abcdef" * 2


def promised(value: float = 0.92):
    """A reference whose AUROC of pneumonia is promised."""
    auroc = make_record("auroc", value, value - 0.02, value + 0.02, method="DeLong 95 %")
    sensitivity = make_record("sensitivity", 0.85, 0.8, 0.9, method="Wilson 95 %")
    mean = make_evaluation(mean={"test": [auroc, sensitivity]}).mean["test"]
    return dataclasses.replace(reference(), promised={"pneumonia": by_name(mean)})


def served(n: int = 600, seed: int = 1):
    table = drawn(np.random.default_rng(seed), n)
    rows = logged(table, datetime.combine(DAY, time(12), UTC))
    append_rows(rows)
    return table, rows


def csv_of(path: Path, lines: list[str], header: str = "pixel_hash,finding,label,who,when,patient") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def keep(folder: Path, lines: list[str]) -> None:
    keep_labels("cxr_binary", read_labels(csv_of(folder / "labels.csv", lines), FINDINGS, NOW))


def label_lines(table, rows, chosen, truth=None) -> list[str]:
    truth = table["target_pneumonia"].to_numpy() == 1 if truth is None else truth
    words = ["negative", "positive"]
    return [
        f"{rows[n]['pixel_hash']},pneumonia,{words[int(truth[n])]},reader A,2026-03-05T10:00,patient {n // 2}"
        for n in chosen
    ]


def test_a_correction_is_a_further_row_and_the_latest_is_in_force(cxr_home, tmp_path):
    table, rows = served()
    lines = label_lines(table, rows, range(600))
    first = csv_of(tmp_path / "first.csv", lines)
    assert keep_labels("cxr_binary", read_labels(first, FINDINGS, NOW)) == 600
    assert keep_labels("cxr_binary", read_labels(first, FINDINGS, NOW + timedelta(days=1))) == 0  # sent twice
    before = measure(MODEL, promised()).findings[0]
    other = "positive" if "negative" in lines[0] else "negative"
    corrected = f"{rows[0]['pixel_hash']},pneumonia,{other},reader B,2026-03-09T10:00,patient 0"
    second = csv_of(tmp_path / "second.csv", [corrected])
    assert keep_labels("cxr_binary", read_labels(second, FINDINGS, NOW)) == 1
    after = measure(MODEL, promised()).findings[0]
    assert len(all_labels("cxr_binary")) == 601  # the first is still there
    assert after.n_positive - before.n_positive == (1 if other == "positive" else -1)
    assert {stat.S_IMODE(path.stat().st_mode) for path in feedback_root().rglob("*.parquet")} == {0o600}
    assert "patient 0" not in all_labels("cxr_binary").to_string()


def test_labels_that_bear_out_the_promise_and_how_many_are_missing(cxr_home, tmp_path):
    table, rows = served(800)
    keep_labels(
        "cxr_binary", read_labels(csv_of(tmp_path / "a.csv", label_lines(table, rows, range(800))), FINDINGS, NOW)
    )
    found = measure(MODEL, promised()).findings[0]
    numbers = {one.name: one for one in found.numbers}
    assert (found.n_labelled, found.n_served, found.n_patients) == (800, 800, 400)
    assert numbers["auroc"].found == "as promised" and numbers["auroc"].lower < numbers["auroc"].value
    assert not found.calibration_only
    assert found.selection_p == pytest.approx(1.0)
    few = measure(MODEL, promised()).findings[1]
    assert [one.value for one in few.numbers] == [None] * 3 and all(one.n_missing > 0 for one in few.numbers)
    assert few.numbers[0].n_missing == 2 * MIN_EACH


def test_a_model_that_ranks_worse_is_said_to_be_worse(cxr_home, tmp_path):
    table, rows = served(800)
    rng = np.random.default_rng(3)
    truth = np.where(rng.random(800) < 0.35, rng.random(800) < 0.25, table["target_pneumonia"] == 1)
    keep(tmp_path, label_lines(table, rows, range(800), truth))
    found = measure(MODEL, promised()).findings[0]
    assert found.numbers[0].found == "worse" and not found.calibration_only


def test_only_the_calibration_is_off_where_more_are_ill_and_ranking_holds(cxr_home, tmp_path):
    table = drawn(np.random.default_rng(4), 1200, "prevalence")
    rows = logged(table, datetime.combine(DAY, time(12), UTC))
    append_rows(rows)
    keep(tmp_path, label_lines(table, rows, range(1200)))
    found = measure(MODEL, promised()).findings[0]
    assert found.calibration_only
    a, b = found.recalibrated
    # Twice the prevalence of 0.25: the odds are three times as high.
    assert b == pytest.approx(np.log(3), abs=0.3) and a == pytest.approx(1, abs=0.2)
    page = (monitor_root() / "cxr_binary" / "1-abababab" / "index.html").read_text()
    assert "It ranks as promised, and its probabilities are off" in page and "--recalibrate" in page


def test_labels_of_called_images_alone_are_said_to_be_a_selection(cxr_home, tmp_path):
    table, rows = served(800)
    chosen = [n for n in range(800) if rows[n]["decision_pneumonia"]]
    keep(tmp_path, label_lines(table, rows, chosen))
    found = measure(MODEL, promised()).findings[0]
    assert found.share_called_labelled == 1.0 and found.selection_p < 1e-6
    assert "selection" in selection_words(found)
    assert len(table_of(measure(MODEL, promised()))) >= 3


def test_a_label_of_a_request_is_of_its_picture_also_where_that_was_asked_before_and_of_none_of_several(
    cxr_home, tmp_path
):
    _, rows = served(50)
    again = {**rows[3], "request_id": str(uuid.uuid4()), "time": rows[3]["time"] + timedelta(hours=1)}
    two = [{**row, "request_id": "0d9f1c9e-6a0c-4f0e-9f5e-1d1c8f6f7a11", "image": n} for n, row in enumerate(rows[5:7])]
    append_rows([again, *two])
    path = csv_of(
        tmp_path / "a.csv",
        [
            f"{again['request_id']},pneumonia,positive,reader A,2026-03-05",
            f"{two[0]['request_id']},pneumonia,negative,reader A,2026-03-05",
            f"{uuid.uuid4()},pneumonia,negative,reader A,2026-03-05",
        ],
        "request_id,finding,label,who,when",
    )
    keep_labels("cxr_binary", read_labels(path, FINDINGS, NOW))
    feedback = measure(MODEL, promised())
    assert (feedback.findings[0].n_labelled, feedback.findings[0].n_positive) == (1, 1)
    assert feedback.n_not_served == 2 and "2 labels" in not_served_words(feedback)


def test_labels_of_one_patient_alone_say_too_little_and_do_not_stop_the_other_findings(cxr_home, tmp_path):
    table, rows = served(600)
    truth = table["target_pneumonia"].to_numpy() == 1
    lines = [
        f"{row['pixel_hash']},pneumonia,{'positive' if is_ill else 'negative'},A,2026-03-05,{'P' if is_ill else n}"
        for n, (row, is_ill) in enumerate(zip(rows, truth, strict=True))
    ]
    keep(tmp_path, lines)
    found = measure(MODEL, promised()).findings[0]
    assert found.n_positive > MIN_EACH and [one.value for one in found.numbers] == [None] * 3


def test_an_image_without_a_patient_takes_the_others_none_of_theirs(cxr_home, tmp_path):
    table, rows = served(800)
    lines = label_lines(table, rows, range(800))  # two images of each patient
    lines[6] = lines[6].removesuffix("patient 3")
    keep(tmp_path, lines)
    corrected = lines[40].replace("2026-03-05", "2026-03-06").removesuffix("patient 20")
    keep(tmp_path, [corrected])  # whose image it is, the first label said
    assert measure(MODEL, promised()).findings[0].n_patients == 401


def test_a_model_that_says_the_same_of_all_has_no_calibration_slope(cxr_home, tmp_path):
    table = drawn(np.random.default_rng(2), 300).assign(probability_pneumonia=0.25, decision_pneumonia=False)
    rows = logged(table, datetime.combine(DAY, time(12), UTC))
    append_rows(rows)
    keep(tmp_path, label_lines(table, rows, range(300)))
    numbers = {one.name: one for one in measure(MODEL, promised()).findings[0].numbers}
    assert numbers["calibration_slope"].value is None and numbers["calibration_intercept"].value is not None


def test_labels_at_one_time_that_contradict_each_other_are_refused_and_zones_are_one(cxr_home, tmp_path):
    said = [f"{HASH},pneumonia,positive,A,2026-03-05T10:00+02:00,", f"{HASH},pneumonia,negative,B,2026-03-05T08:00Z,"]
    with pytest.raises(DataDefect, match=r"line 3: .*negative and on line 2 positive"):
        read_labels(csv_of(tmp_path / "a.csv", said), FINDINGS, NOW)
    keep(tmp_path, said[:1])
    keep(tmp_path, [said[0].replace("10:00+02:00", "08:00")])
    assert set(all_labels("cxr_binary")["when"]) == {datetime(2026, 3, 5, 8, tzinfo=UTC)}
    (feedback_root() / "cxr_binary" / ".x.parquet.abc.parquet").write_bytes(
        b"PAR1 half"
    )  # of a process that was killed
    assert len(all_labels("cxr_binary")) == 1


def test_a_damaged_file_of_labels_is_named(cxr_home, tmp_path):
    keep(tmp_path, [f"{HASH},pneumonia,positive,A,2026-03-05,"])
    (file,) = feedback_root().rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataDefect, match=f"{file.name}: expected labels as they were kept"):
        all_labels("cxr_binary")


def test_images_are_known_by_request_and_by_file_too(cxr_home, tmp_path):
    _, rows = served(50)
    picture = encoded(smooth(120, 90, seed=5), "PNG")
    (tmp_path / "scan.png").write_bytes(picture)
    path = csv_of(
        tmp_path / "a.csv",
        [
            f"{rows[3]['request_id']},,pneumonia,positive,reader A,2026-03-05",
            ",scan.png,pneumonia,negative,reader A,2026-03-05",
        ],
        "request_id,file,finding,label,who,when",
    )
    labels = read_labels(path, FINDINGS, NOW)
    assert labels["request_id"].to_list() == [rows[3]["request_id"], ""]
    assert labels["pixel_hash"].str.len().to_list() == [0, 32]
    keep_labels("cxr_binary", labels)
    assert measure(MODEL, promised()).findings[0].n_labelled == 1  # scan.png was not served


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{HASH},hernia,positive,A,2026-03-05,", "hernia"),
        (f"{HASH},pneumonia,maybe,A,2026-03-05,", "maybe"),
        (f"{HASH},pneumonia,positive,,2026-03-05,", "who"),
        (f"{HASH},pneumonia,positive,A,yesterday,", "yesterday"),
        (f"{HASH},pneumonia,positive,A,2027-03-05,", "2027"),
        (f"{HASH},pneumonia,positive,A,0026-03-05T00:00+14:00,", "0026"),
        ("name of a patient,pneumonia,positive,A,2026-03-05,", "32 hex digits"),
        (",pneumonia,positive,A,2026-03-05,", "pixel_hash"),
    ],
)
def test_a_row_that_cannot_be_understood_is_named_and_nothing_is_kept(cxr_home, tmp_path, line, said):
    good = f"{HASH},pneumonia,positive,A,2026-03-05,"
    with pytest.raises(DataDefect, match=rf"line 3.*{said}"):
        read_labels(csv_of(tmp_path / "a.csv", [good, line]), FINDINGS, NOW)
    assert not feedback_root().exists()
