from __future__ import annotations

from cxr_tasks.report.page.typicality import typicality_section
from tests.evaluations import make_evaluation, make_typicality
from tests.evaluations import make_record as record


def test_rows_have_auroc_and_share_of_what_was_measured():
    records = [
        record("unusual_test", 0.02),
        *(record(name, 0.97) for name in ("inverted", "unusual_inverted")),
        *(record(name, 1.0) for name in ("noise", "unusual_noise")),
    ]
    found = typicality_section(make_evaluation(typicality=make_typicality(records=records)))
    assert found["missing"] == ""
    assert [row["name"] for row in found["rows"]] == ["X-rays with black and white exchanged", "Noise"]
    assert found["rows"][0]["auroc"].name == "inverted"
    assert found["rows"][0]["share"].name == "unusual_inverted"


def test_versions_of_before_and_small_datasets_say_why_there_is_none():
    assert "before typicality was measured" in typicality_section(make_evaluation())["missing"]
    few = make_evaluation(typicality=make_typicality(reason="8 images are there"))
    assert "8 images are there" in typicality_section(few)["missing"]
