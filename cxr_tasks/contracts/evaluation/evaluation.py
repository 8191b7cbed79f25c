"""The whole of ``metrics.json``: how it is written, and how files of this and of former formats are read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Self

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.evaluation.groups import DatasetRow, TogetherRow
from cxr_tasks.contracts.evaluation.of_finding import FindingEvaluation, OperatingPoint, ServingValues, Split
from cxr_tasks.contracts.metrics import Records
from cxr_tasks.contracts.remarks import Remark
from cxr_tasks.contracts.serving_contract import TrainedOn
from cxr_tasks.contracts.shapes import build, plain

#: Format 2 has no calibration intercept, slope, shift of prevalence, skill and alarm rate; format 1 has neither counts
#: of patients, nor ``several``, nor gaps of subgroups.
FORMAT = 3
#: Of a whole number in the file.
_LARGEST = 2**63
#: Left out of the file where they are empty.
_OPTIONAL = ("datasets", "model", "typicality", "trained_on", "test_use", "seen_in_training", "remarks", "baselines")


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCounts:
    n_images: int
    n_patients: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Several findings taken together on one split."""

    findings: tuple[str, ...]
    """Those that are taken: with a calibration, and assessable on the split."""
    micro: Records
    """Over all (image, finding) pairs; ``n`` counts pairs."""
    served: dict[str, Records]
    """The served decisions, as ``mean`` over findings and as ``micro``; empty where no finding is taken."""
    subgroups: tuple[TogetherRow, ...] = ()
    """Files of before 30 Nov 2026 have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Which model was measured on what; what is None was not told."""

    model_name: str | None = None
    mlflow_run_id: str | None = None
    model_sha256: str | None = None
    """Of the trained ``.keras`` file."""
    recipe: str | None = None
    recipe_sha256: str | None = None
    trained_on: str | None = None
    """Name of the dataset it was trained on, where that is another than it was measured on."""
    dataset: str | None = None
    dataset_fingerprint: str | None = None
    n_parameters: int | None = None
    size_px: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypicalityMeasures:
    """How well pictures that the model was not trained for are told (``evaluate.typicality``)."""

    fit_sha256: str
    """Of ``typicality.json``, what was fitted; empty where nothing could be."""
    reason: str
    """Why nothing could be fitted; exactly where nothing was."""
    n_training: int
    """Images that it was fitted on."""
    n_validation: int
    records: Records
    """Of ``contracts.metrics.TYPICALITY_METRICS``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestUse:
    """One model's look at a test split (``evaluate.reuse``)."""

    __test__ = False  # no class of tests, whatever pytest makes of its name

    number: int
    """How many models, this one included, had been measured on these images by then; from 1."""
    n_images: int
    test_sha256: str
    """Of what the images hold; another name or order makes no other test split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a model must beat before its number means anything."""

    name: str
    description: str
    metrics: Records
    """AUROCs of each finding on validation and test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Every number of one model. A record's interval counts its ``n_patients``; records without are of before that."""

    format: int = FORMAT
    confidence: float
    """Of every interval, in (0, 1)."""
    findings: tuple[str, ...]
    """In the order of the model's outputs."""
    rows_sha256: str
    """Which test rows the numbers are about (``evaluate.table.rows_sha256``)."""
    splits: dict[Split, SplitCounts]
    mean: dict[Split, Records]
    """Over findings: ``auroc`` and ``auroc_patient_bootstrap``; of several findings the others of
    ``contracts.metrics.MEAN_METRICS`` too."""
    several: dict[Split, Together] = field(default_factory=dict)
    """Empty with one finding."""
    multilabel_report: str = ""
    """scikit-learn's table over all assessable findings, of test at the served decisions; empty with one finding."""
    by_finding: dict[str, FindingEvaluation]
    serving: dict[str, ServingValues]
    datasets: dict[Split, dict[str, tuple[DatasetRow, ...]]] = field(default_factory=dict)
    """Of a model on another dataset: each shared finding's row there, and its row where the model was trained."""
    model: ModelFacts = field(default_factory=ModelFacts)
    typicality: TypicalityMeasures | None = None
    """None of a model on another dataset, and of before there was this."""
    trained_on: TrainedOn | None = None
    """As ``typicality``."""
    test_use: TestUse | None = None
    seen_in_training: dict[Split, int] | None = None
    """Of a model on another dataset: images that were left out because it was trained on them."""
    remarks: tuple[Remark, ...] = ()
    """What a reader has to know beside the numbers."""
    baselines: tuple[Baseline, ...] = ()

    @classmethod
    def from_json(cls, content: Any, where: str = "metrics.json") -> Self:
        """The reverse of :meth:`to_json`, also of former formats; what this code does not know is left aside.

        Raises:
            DataDefect: Something is missing, of the wrong kind or no finite number, or the file is of a later format;
                ``where`` and the place in it are named.
        """
        its_format = content.get("format") if isinstance(content, dict) else None
        if isinstance(its_format, int) and its_format > FORMAT:
            raise DataDefect(
                f"{where}: expected format {FORMAT} or an earlier one, found {its_format}; a later version of this "
                "platform wrote it"
            )
        _require_finite(content, where)
        try:
            evaluation = build(cls, content, where, keeps_to_known=False)
        except ConfigurationError as error:
            raise DataDefect(f"{error}; evaluate the model again") from None
        if set(evaluation.findings) != set(evaluation.by_finding):
            raise DataDefect(
                f"{where}: expected each of the findings {', '.join(evaluation.findings)} in by_finding, found "
                f"{', '.join(evaluation.by_finding) or 'none'}; evaluate the model again"
            )
        return evaluation

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, as it stands in ``metrics.json``."""
        content = plain(self)
        content["model"] = {name: value for name, value in content["model"].items() if value is not None}
        for name in _OPTIONAL:
            if not content[name]:
                del content[name]
        return content

    def served_point(self, finding: str) -> OperatingPoint | None:
        """The served operating point of ``finding``; None where none could be chosen."""
        return self.by_finding[finding].served_point


def _require_finite(value: Any, where: str) -> None:
    """NaN lies below no bound and would pass the gate; Python reads it from JSON, and infinity from 1e999."""
    if isinstance(value, dict):
        for name, member in value.items():
            _require_finite(member, f"{where}.{name}")
    elif isinstance(value, list):
        for place, member in enumerate(value):
            _require_finite(member, f"{where}[{place}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise DataDefect(f"{where}: expected a finite number, found {value}; evaluate the model again")
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise DataDefect(
            f"{where}: expected a number, found one of {value.bit_length()} bits; evaluate the model again"
        )
