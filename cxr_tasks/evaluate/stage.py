"""Evaluate one trained model: predictions, metrics with intervals, baselines beside it."""

from __future__ import annotations

import dataclasses
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.evaluation.evaluation import Evaluation, ModelFacts, TypicalityMeasures
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
from cxr_tasks.contracts.handoffs.training import TrainedModel
from cxr_tasks.contracts.metrics import record_of
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.remarks import Remark, clock_remark, remark_lines
from cxr_tasks.contracts.serving_contract import ADULT_YEARS, TrainedOn
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.datasets.content import content_of_splits
from cxr_tasks.evaluate.flat_metrics import flat_metrics, readable
from cxr_tasks.evaluate.reuse import Purpose, record_test_read, reuse_remark
from cxr_tasks.installation.storage.changes import remove_file
from cxr_tasks.installation.storage.files import reference_to, verified_path, write_json, write_text
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.installation.tensorflow_start import start_tensorflow
from cxr_tasks.registry.persons import Person

if TYPE_CHECKING:
    import keras
    import pandas as pd

    from cxr_tasks.datasets.load import StoredSplit
    from cxr_tasks.registry.run_log import RunLog

log = logging.getLogger(__name__)

#: Where an evaluation's files stand among the artifacts of its MLflow run.
ARTIFACT_FOLDER = "evaluation"
TYPICALITY_FILE = "typicality.json"


@room_for("evaluating", 8 * MIB)
def evaluate_model(
    trained: TrainedModel,
    prepared: PreparedDataset,
    recipe: Recipe,
    paths: RunPaths,
    *,
    purpose: Purpose = "evaluate",
    who: str | Person = "airflow",
) -> EvaluatedModel:
    """Numbers of ``trained`` on validation and test; the test split is read once per winner.

    The look at the test split is noted in the audit log (``evaluate.reuse``), as one of ``purpose`` by ``who``.
    ``remarks`` in ``metrics.json`` say the how-manyth model on these images this is, and what else a reader of the
    numbers has to know (``contracts.remarks``).

    Leaves ``predictions.parquet``, ``metrics.json`` and, where it could be fitted, ``typicality.json`` (by which
    serving tells how typical an image is, ``serving_contract.TypicalityFit``) in the run's ``evaluate`` folder, logs
    metrics (``test_auroc``, ``test_auroc_lower``, ...), ``metrics.json`` and the predictions without image ids to the
    MLflow run, and a table to the task's log.
    The handoff itself goes there too (``evaluation/evaluated.json``), so that a later report finds the files again.

    Raises:
        DataDefect: The model was trained on another dataset, or a file was changed since it was written.
        ServiceUnavailable: MLflow does not answer.
    """
    if trained.dataset_fingerprint != prepared.fingerprint:
        raise DataDefect(
            f"expected a model trained on dataset {prepared.fingerprint[:12]}, found one trained on "
            f"{trained.dataset_fingerprint[:12]}; its test images may have been in its training split"
        )
    folder = paths.stage("evaluate")
    predictions, evaluation = _measure(trained, prepared, recipe, folder, purpose, who)
    write_json(folder / "metrics.json", evaluation.to_json())
    log.info("%s\n%s", trained.model_name, "\n".join([readable(evaluation), *remark_lines(evaluation.remarks)]))
    test = record_of(evaluation.mean["test"], "auroc")
    evaluated = EvaluatedModel(
        model_name=trained.model_name,
        mlflow_run_id=trained.mlflow_run_id,
        predictions=reference_to(predictions),
        metrics=reference_to(folder / "metrics.json"),
        test_auroc=test.value,
        test_auroc_lower=test.lower,
        test_auroc_upper=test.upper,
        typicality=reference_to(folder / TYPICALITY_FILE) if _is_fitted(evaluation) else None,
    )
    write_json(folder / "evaluated.json", evaluated.to_payload())
    _log_to_mlflow(evaluated, evaluation, folder)
    return evaluated


def _measure(
    trained: TrainedModel,
    prepared: PreparedDataset,
    recipe: Recipe,
    folder: Path,
    purpose: Purpose,
    who: str | Person,
) -> tuple[Path, Evaluation]:
    start_tensorflow()
    import pandas as pd

    from cxr_tasks.datasets.load import stored_split
    from cxr_tasks.evaluate.assess import SPLITS, assess
    from cxr_tasks.evaluate.baselines import BaselineInputs, assess_baselines, thumbnails
    from cxr_tasks.evaluate.predict import predictions_of, write_predictions
    from cxr_tasks.train.networks.saved import load_model

    findings = recipe.findings
    model = load_model(verified_path(trained.model), size_px=prepared.size_px, n_findings=len(findings))
    stored = {
        split: stored_split(prepared, split, findings, folder, labels=recipe.train.labels)
        for split in ("train", *SPLITS)
    }
    # Before there is a number: a look that nobody could note must not take place.
    read = record_test_read(
        content_of_splits(prepared, ["test"]), purpose=purpose, model_name=trained.model_name, version=None,
        model_sha256=trained.model.sha256, dataset=prepared.dataset, fingerprint=prepared.fingerprint, who=who,
    )  # fmt: skip
    table = pd.concat([predictions_of(model, stored[split], findings) for split in SPLITS], ignore_index=True)
    path = folder / "predictions.parquet"
    write_predictions(table, path)
    evaluation = assess(table, findings, recipe.evaluate, pd.concat([stored[split].rows for split in SPLITS]))
    inputs = {split: BaselineInputs(thumbnails(part.images), part.labels, part.rows) for split, part in stored.items()}
    reuse = reuse_remark(read, record_of(evaluation.mean["test"], "auroc"), evaluation.confidence)
    return path, dataclasses.replace(
        evaluation,
        model=_facts(trained, prepared, recipe, int(model.count_params())),
        typicality=_typicality(model, stored, recipe, folder),
        trained_on=_trained_on(recipe, stored["train"].rows, folder),
        test_use=read,
        remarks=(*training_remarks(trained), reuse),
        baselines=assess_baselines(inputs, findings, recipe.evaluate),
    )


def _facts(trained: TrainedModel, prepared: PreparedDataset, recipe: Recipe, n_parameters: int) -> ModelFacts:
    return ModelFacts(
        model_name=trained.model_name,
        mlflow_run_id=trained.mlflow_run_id,
        model_sha256=trained.model.sha256,
        recipe=recipe.name,
        recipe_sha256=recipe.sha256,
        dataset=prepared.dataset,
        dataset_fingerprint=prepared.fingerprint,
        n_parameters=n_parameters,
        size_px=prepared.size_px,
    )


def _is_fitted(evaluation: Evaluation) -> bool:
    return evaluation.typicality is not None and bool(evaluation.typicality.fit_sha256)


def _typicality(model: keras.Model, stored: dict[str, StoredSplit], recipe: Recipe, folder: Path) -> TypicalityMeasures:
    """Fit it, leave ``typicality.json``, and say how well it tells strange pictures."""
    from cxr_tasks.evaluate.predict import pooled_features_of
    from cxr_tasks.evaluate.typicality.measure import measure_typicality

    remove_file(folder / TYPICALITY_FILE)
    typicality = measure_typicality(
        partial(pooled_features_of, model), stored, recipe.dataset.source, recipe.evaluate.confidence
    )
    sha256 = ""
    if typicality.fitted is not None:
        write_json(folder / TYPICALITY_FILE, plain(typicality.fitted))
        sha256 = reference_to(folder / TYPICALITY_FILE).sha256
    return TypicalityMeasures(
        fit_sha256=sha256,
        reason=typicality.reason,
        n_training=typicality.fitted.n_training if typicality.fitted else 0,
        n_validation=typicality.fitted.n_validation if typicality.fitted else 0,
        records=typicality.records,
    )


def trained_on(rows: pd.DataFrame) -> TrainedOn:
    """Whom the images of ``rows`` (of the dataset's index) are of."""
    age, view = rows["age_years"], rows["view"]
    return TrainedOn(
        n_images=len(rows),
        n_age_known=int(age.notna().sum()),
        n_under_18=int((age < ADULT_YEARS).sum()),
        n_view_known=int((view != "unknown").sum()),
        n_lateral=int((view == "lateral").sum()),
    )


def _trained_on(recipe: Recipe, rows: pd.DataFrame, folder: Path) -> TrainedOn | None:
    """Whom the weights know: of a version that is only calibrated anew, the people it was trained on."""
    if not recipe.train.keeps_weights:
        return trained_on(rows)
    from cxr_tasks.registry.version_files import load_version

    name, version = recipe.train.starting_weights.removeprefix("models:/").rsplit("/", 1)
    return load_version(name, int(version), folder / "weights_of").contract.trained_on


def training_remarks(trained: TrainedModel) -> list[Remark]:
    """What a reader of a model's numbers has to know of its training: of its starting weights, and of a clock."""
    remarks = [Remark(told["name"], told["sentence"]) for told in trained.remarks]
    if trained.was_ended_by_clock:
        remarks.append(clock_remark(trained.epochs_run, trained.epochs_asked, trained.stopped_by))
    return remarks


def _log_to_mlflow(evaluated: EvaluatedModel, evaluation: Evaluation, folder: Path) -> None:
    import pandas as pd

    from cxr_tasks.evaluate import predictions_of_run
    from cxr_tasks.registry.tracking import open_run

    with open_run(evaluated.model_name, "evaluate", run_id=evaluated.mlflow_run_id) as run:
        run.metrics(flat_metrics(evaluation))
        run.tags({"cxr.rows_sha256": evaluation.rows_sha256, "cxr.predictions_sha256": evaluated.predictions.sha256})
        more = [TYPICALITY_FILE] if evaluated.typicality else []
        for name in ("metrics.json", "evaluated.json", *more):
            run.artifact(folder / name, ARTIFACT_FOLDER)
        kept = folder / "kept" / predictions_of_run.FILE
        kept.parent.mkdir(exist_ok=True)
        predictions_of_run.without_image_ids(pd.read_parquet(verified_path(evaluated.predictions))).to_parquet(
            kept, index=False
        )
        run.artifact(kept, ARTIFACT_FOLDER)
        for finding, measured in evaluation.by_finding.items():
            if measured.classification_report:
                _log_text(run, folder / f"classification_report_{finding}.txt", measured.classification_report)
        if evaluation.multilabel_report:
            _log_text(run, folder / "classification_report.txt", evaluation.multilabel_report)


def _log_text(run: RunLog, path: Path, text: str) -> None:
    write_text(path, text)
    run.artifact(path, ARTIFACT_FOLDER)
