"""What we expect of a stored dataset: each example is what the index says of it, and its picture shows something."""

from __future__ import annotations

import great_expectations as gx

from cxr_tasks.contracts.labels import SEXES, SPLITS, VIEWS
from expectations.prepared_table import EXAMPLE_COLUMNS
from expectations.rules import CRITICAL, WARNING, between, has_columns, matches, no_fault, one_of, unique


def build_examples_suite() -> gx.ExpectationSuite:
    """For ``expectations.prepared_table.example_table``: one row per stored or indexed example."""
    rules = [
        has_columns(EXAMPLE_COLUMNS, "every column of the index is there"),
        unique("image_id", CRITICAL, "an image is stored once"),
        no_fault("order_fault", CRITICAL, "index and stored examples tell of the same images in the same order"),
        no_fault("label_fault", CRITICAL, "the label states stored are those of the index"),
        no_fault("target_fault", CRITICAL, "a label's value and its mask say what its state says"),
        no_fault("metadata_fault", CRITICAL, "patient key, source, view, sex and age stored are those of the index"),
        no_fault("box_fault", CRITICAL, "boxes lie in the stored square and are those of the index"),
        matches("patient_key", "^[0-9a-f]{16}$", "patients are told by a key of 16 hex digits, never by their id"),
        between("n_splits_of_patient", None, 1, CRITICAL, "a patient is in one split only"),
        one_of("split", SPLITS, CRITICAL, "split holds known words only"),
        one_of("view", VIEWS, CRITICAL, "view holds known words only"),
        one_of("sex", SEXES, CRITICAL, "sex holds known words only"),
        between("deviation", 0.005, None, CRITICAL, "the stored picture is not blank"),
        between("grey_range", 0.1, None, WARNING, "the stored picture uses a tenth of the grey scale or more"),
        between("mean", 0.05, 0.95, WARNING, "the stored picture is neither nearly black nor nearly white"),
    ]
    return gx.ExpectationSuite(name="prepared_examples", expectations=rules)


def build_splits_suite() -> gx.ExpectationSuite:
    """For ``expectations.prepared_table.split_table``: one row per split."""
    rules = [
        no_fault("count_fault", CRITICAL, "handoff, index, TFDS metadata and shards agree on the number of examples"),
        between("n_stored", 1, None, CRITICAL, "no split is empty"),
    ]
    return gx.ExpectationSuite(name="prepared_splits", expectations=rules)
