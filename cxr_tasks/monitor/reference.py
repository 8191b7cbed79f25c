"""The reference profile of a version: its scores, decisions and pictures on validation and test, without names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.evaluation.evaluation import Evaluation
from cxr_tasks.contracts.metrics import MetricRecord, by_name
from cxr_tasks.contracts.records import logit_column
from cxr_tasks.predictions.columns import IMAGE_STATISTICS, decision_column, probability_column
from cxr_tasks.statistics.patients import effective_number, images_each, patient_numbers

if TYPE_CHECKING:
    import pandas as pd

    from cxr_tasks.contracts.serving_contract import ServingContract

#: Numbers of a version that served traffic is held against.
PROMISED = ("auroc", "prevalence", "sensitivity", "specificity")
#: Words of ``flags`` whose share is looked at.
FLAGS = ("inverted_suspected", "coloured_mark", "damaged_data", "line_suspected")


@dataclass(frozen=True)
class Reference:
    """Rows of validation and test, as served images are described; no image id, no patient key."""

    table: pd.DataFrame
    """``probability_<finding>``, ``decision_<finding>`` and, where the dataset keeps them, image statistics, ``flags``,
    ``width_px``, ``height_px``."""
    findings: tuple[str, ...]
    thresholds: dict[str, float]
    n_effective: float
    """How many independent images the rows are worth (:func:`effective_number`): at most one for each patient."""
    n_validation: int
    """Images that a typicality is a share of."""
    promised: dict[str, dict[str, MetricRecord]]
    """Finding -> metric (``auroc``, ``sensitivity``, ``specificity``) -> its record on test (contracts.metrics)."""

    @property
    def n(self) -> int:
        return len(self.table)

    @property
    def worth(self) -> float:
        """How many independent images an image is worth, in (0, 1], as if those of one patient were all alike.

        Also of served images, of whose patients nothing is known: as many of each patient are taken to come. Simulated
        with one image a patient here, no look in 200 alarmed at two served images a patient, one in 200 at three
        (windows of 200 and 400 images), and 4 to 7 in 100 at five to seven (200 to 280): then most years alarm.
        """
        return self.n_effective / max(self.n, 1)

    @property
    def has_statistics(self) -> bool:
        return "mean" in self.table

    @cached_property
    def rising(self) -> dict[str, np.ndarray]:
        """Numeric column -> its known values, rising."""
        names = [probability_column(finding) for finding in self.findings]
        names += [name for name in (*IMAGE_STATISTICS, "aspect") if name in self.table]
        columns = {name: self.table[name].to_numpy(float) for name in names}
        return {name: np.sort(values[~np.isnan(values)]) for name, values in columns.items()}


def reference_of(
    predictions: pd.DataFrame,
    contract: ServingContract,
    statistics: pd.DataFrame | None,
    evaluation: Evaluation,
) -> Reference:
    """The profile from a version's predictions (validation and test), its contract, and its images' statistics.

    Raises:
        DataDefect: The statistics are of other images.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    for decision in contract.decisions:
        logit = predictions[logit_column(decision.finding)].to_numpy(float)
        probability = 1 / (1 + np.exp(-(decision.a * logit + decision.b)))
        columns[probability_column(decision.finding)] = probability
        columns[decision_column(decision.finding)] = probability >= decision.threshold
    table = pd.DataFrame(columns)
    if statistics is not None:
        by_image = statistics.set_index("image_id")
        if not predictions["image_id"].isin(by_image.index).all():
            raise DataDefect("image statistics: expected those of the images that were predicted, found other images")
        table = pd.concat([table, by_image.loc[predictions["image_id"]].reset_index(drop=True)], axis=1)
        table["aspect"] = table["width_px"] / table["height_px"]
    return Reference(
        table=table,
        findings=contract.findings,
        thresholds={decision.finding: decision.threshold for decision in contract.decisions},
        n_effective=effective_number(images_each(patient_numbers(predictions["patient_key"].to_numpy(str)))),
        n_validation=int((predictions["split"] == "validation").sum()),
        promised={finding: promised_of(evaluation, finding) for finding in contract.findings},
    )


def promised_of(evaluation: Evaluation, finding: str) -> dict[str, MetricRecord]:
    """AUROC, prevalence, sensitivity and specificity on test that the version was registered with; those it has."""
    measured = evaluation.by_finding.get(finding)
    if measured is None:
        return {}
    point = measured.served_point
    records = {**by_name(measured.metrics.get("test", ())), **by_name(point.test.metrics if point else ())}
    return {name: records[name] for name in PROMISED if name in records}


def load_reference(model_name: str, version: int, work: Path) -> tuple[Reference, str]:
    """The profile of a registered version, and its MLflow run, from what run and dataset keep.

    Raises:
        DataDefect: A file of the run, or its prepared dataset, is missing or not what it was.
        NoSuchVersion: The registry has no such version.
    """
    import yaml

    from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
    from cxr_tasks.contracts.recipes import Recipe
    from cxr_tasks.datasets.image_statistics import statistics_of_splits
    from cxr_tasks.datasets.latest import dataset_of
    from cxr_tasks.evaluate.evaluation_file import read_evaluation_file
    from cxr_tasks.evaluate.predictions_of_run import predictions_of_run
    from cxr_tasks.evaluate.table import read_predictions
    from cxr_tasks.installation.storage.files import read_json
    from cxr_tasks.registry.run_files import fetch_run_files
    from cxr_tasks.registry.version_files import load_version

    loaded = load_version(model_name, version, work / "model")
    files = fetch_run_files(loaded.run_id, work / "run")
    recipe = Recipe.from_dict(yaml.safe_load((files / "recipe.yaml").read_text(encoding="utf-8")), "recipe.yaml")
    evaluation = read_evaluation_file(files / "evaluation" / "metrics.json")
    evaluated = EvaluatedModel.from_payload(read_json(files / "evaluation" / "evaluated.json"))
    prepared = dataset_of(loaded.contract.dataset, loaded.contract.dataset_fingerprint)
    path = predictions_of_run(
        files / "evaluation", evaluated, prepared, evaluation.rows_sha256, recipe.findings, work / "predictions.parquet"
    )
    predictions = read_predictions(path, recipe.findings)
    statistics = statistics_of_splits(prepared, ("validation", "test"))
    return reference_of(predictions, loaded.contract, statistics, evaluation), loaded.run_id
