"""What we expect of predictions: each validation and test image answered once, in numbers that metrics can use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation

from cxr_tasks.contracts.labels import findings_of
from cxr_tasks.contracts.records import PREDICTION_COLUMNS, logit_column, target_column
from expectations.rules import CRITICAL, WARNING, between, given, has_columns, has_type, no_fault, one_of, unique

#: A sigmoid of this many is 1 but for 1e-22; float32 logits beyond it come of weights that ran away.
_LARGEST_LOGIT = 50.0


def build_predictions_suite(vocabulary: str) -> gx.ExpectationSuite:
    """For ``expectations.predictions_table.checked_predictions``: one row per prediction."""
    findings = findings_of(vocabulary)
    rules = [*_rows(findings), *(rule for finding in findings for rule in _answers(finding))]
    return gx.ExpectationSuite(name=f"predictions_{vocabulary}", expectations=rules)


def _rows(findings: Sequence[str]) -> Iterator[Expectation]:
    columns = [*PREDICTION_COLUMNS, *map(target_column, findings), *map(logit_column, findings)]
    yield has_columns(columns, "every column of the predictions is there")
    yield unique("image_id", CRITICAL, "an image is answered once")
    yield given("image_id", "every answer names its image")
    yield one_of("split", ("validation", "test"), CRITICAL, "answers are of validation and test only")
    yield no_fault("row_fault", CRITICAL, "every answer is about an image of the index, in the split it has there")
    yield no_fault("target_fault", CRITICAL, "targets say what the index says")


def _answers(finding: str) -> Iterator[Expectation]:
    logit, target = logit_column(finding), target_column(finding)
    yield has_type(logit, "float64")
    yield given(logit, f"every image has a logit of {finding} that is a number")
    # The ends are those of float32: an infinite value lies beyond them.
    yield between(logit, -3.4e38, 3.4e38, CRITICAL, f"logits of {finding} are finite")
    yield between(logit, -_LARGEST_LOGIT, _LARGEST_LOGIT, WARNING, f"logits of {finding} are of a usual size")
    yield gxe.ExpectColumnUniqueValueCountToBeBetween(
        column=logit, min_value=2, severity=WARNING, notes=f"the answer for {finding} is not the same for all images"
    )
    yield has_type(target, "float64")
    yield one_of(target, [0.0, 1.0], CRITICAL, f"targets of {finding} are 0, 1 or empty")


def build_coverage_suite() -> gx.ExpectationSuite:
    """For ``expectations.predictions_table.coverage``: one row per validation and test image of the index."""
    about = "every validation and test image of the index is answered once"
    rules = [between("n_predictions", 1, 1, CRITICAL, about)]
    return gx.ExpectationSuite(name="predictions_coverage", expectations=rules)
