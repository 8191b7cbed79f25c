"""Short forms of the stock expectations that the suites are made of, so that a suite reads as a list of rules.

``critical`` stops the run: a model trained or judged on such data would be wrong. ``warning`` is for a person to know.
``about`` is the sentence that logs, Data Docs and notifications show; it names no image and no patient.
"""

from __future__ import annotations

from collections.abc import Iterable

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

CRITICAL, WARNING = FailureSeverity.CRITICAL, FailureSeverity.WARNING


def has_columns(columns: Iterable[str], about: str) -> Expectation:
    """Critical: these columns are there; further ones may be."""
    return gxe.ExpectTableColumnsToMatchSet(column_set=list(columns), exact_match=False, severity=CRITICAL, notes=about)


def has_type(column: str, name: str) -> Expectation:
    """Critical: the column's type is ``name`` (``str``, ``int64``, ``float64``)."""
    return gxe.ExpectColumnValuesToBeOfType(
        column=column, type_=name, severity=CRITICAL, notes=f"{column} has its type"
    )


def given(column: str, about: str) -> Expectation:
    """Critical: no value of the column is missing."""
    return gxe.ExpectColumnValuesToNotBeNull(column=column, severity=CRITICAL, notes=about)


def unique(column: str, severity: FailureSeverity, about: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeUnique(column=column, severity=severity, notes=about)


def matches(column: str, regex: str, about: str) -> Expectation:
    """Critical: every value matches ``regex`` from its beginning."""
    return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=regex, severity=CRITICAL, notes=about)


def one_of(column: str, known: Iterable[object], severity: FailureSeverity, about: str) -> Expectation:
    """Every value that is given is one of ``known``."""
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(known), severity=severity, notes=about)


def between(column: str, low: float | None, high: float | None, severity: FailureSeverity, about: str) -> Expectation:
    """Every value that is given lies in [``low``, ``high``]; ``None`` is an open end."""
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=low, max_value=high, severity=severity, notes=about
    )


def no_fault(column: str, severity: FailureSeverity, about: str) -> Expectation:
    """Every value of a column of fault descriptions is empty; the description is what log and Data Docs show."""
    return one_of(column, [""], severity, about)
