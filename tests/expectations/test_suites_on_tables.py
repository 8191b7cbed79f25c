"""Every rule of the small suites with a value that meets it and one that does not; bounds belong to the good side."""

from __future__ import annotations

import pandas as pd
import pytest

pytestmark = pytest.mark.gx


def binary():
    from expectations.manifest_tables import build_findings_suite

    return build_findings_suite(1)


def multilabel():
    from expectations.manifest_tables import build_findings_suite

    return build_findings_suite(14)


def shortcuts():
    from expectations.manifest_tables import build_shortcuts_suite

    return build_shortcuts_suite()


def drift():
    from expectations.manifest_tables import build_drift_suite

    return build_drift_suite()


def counts():
    from expectations.manifest_tables import build_counts_suite

    return build_counts_suite()


def examples():
    from expectations.prepared import build_examples_suite

    return build_examples_suite()


def splits():
    from expectations.prepared import build_splits_suite

    return build_splits_suite()


def coverage():
    from expectations.predictions import build_coverage_suite

    return build_coverage_suite()


@pytest.mark.parametrize(
    ("suite", "column", "good", "bad", "severities"),
    [
        (binary, "missing", "", "test: present", ["critical"]),
        (binary, "share_present", 0.5, 0.005, ["critical", "warning"]),
        (binary, "share_present", 0.2, 0.19, ["warning"]),
        (binary, "share_present", 0.8, 0.995, ["critical", "warning"]),
        (binary, "gap_to_validation", 0.1, 0.11, ["warning"]),
        (multilabel, "missing", "", "test: present", ["warning"]),
        (multilabel, "n_complete_findings", 1, 0, ["critical"]),
        (multilabel, "share_present", 0.002, 0.0005, ["warning"]),  # 0.2 %: hernia in NIH's set
        (multilabel, "share_present", 0.9, 0.95, ["warning"]),
        (multilabel, "gap_to_validation", 0.0, 0.3, ["warning"]),
        (shortcuts, "share_beyond_chance", 0.05, 0.051, ["warning"]),
        (drift, "psi", 0.1, 0.2, ["warning"]),
        (drift, "psi", 0.0, 0.3, ["warning", "warning"]),
        (drift, "jensen_shannon", 0.2, 0.25, ["warning"]),
        (counts, "ratio", 0.95, 0.94, ["warning"]),
        (counts, "ratio", 3.0, 0.0, ["warning"]),  # more than before is well
        (examples, "image_id", "other.png", "again.png", ["critical"]),
        (examples, "order_fault", "", "not stored", ["critical"]),
        (examples, "label_fault", "", "edema: index positive, stored negative", ["critical"]),
        (examples, "target_fault", "", "edema: positive, value 0", ["critical"]),
        (examples, "metadata_fault", "", "view differs", ["critical"]),
        (examples, "box_fault", "", "index has 1, stored are 2", ["critical"]),
        (examples, "patient_key", "0123456789abcdef", "person134", ["critical"]),
        (examples, "patient_key", "0123456789abcdef", "0123456789abcdef0", ["critical"]),
        (examples, "n_splits_of_patient", 1, 2, ["critical"]),
        (examples, "split", "train", "val", ["critical"]),
        (examples, "view", "pa", "PA", ["critical"]),
        (examples, "sex", "unknown", "F", ["critical"]),
        (examples, "deviation", 0.005, 0.0, ["critical"]),
        (examples, "grey_range", 0.1, 0.05, ["warning"]),
        (examples, "mean", 0.5, 0.99, ["warning"]),
        (splits, "count_fault", "", "counts differ", ["critical"]),
        (splits, "n_stored", 1, 0, ["critical"]),
        (coverage, "n_predictions", 1, 0, ["critical"]),
        (coverage, "n_predictions", 1, 2, ["critical"]),
    ],
)
def test_a_rule_is_met_up_to_its_bound_and_not_beyond(failed_rules, suite, column, good, bad, severities):
    first = "again.png" if column == "image_id" else good
    assert failed_rules(pd.DataFrame({column: [first, good]}), suite(), column) == {}
    found = failed_rules(pd.DataFrame({column: [first, bad]}), suite(), column)
    assert sorted(found.values()) == severities


def test_a_missing_column_of_the_index_is_critical(failed_rules):
    found = failed_rules(pd.DataFrame({"image_id": ["a"]}), examples())
    assert found["every column of the index is there"] == "critical"
