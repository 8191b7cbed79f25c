"""Train a registered version again from its recorded recipe and data, and say whether it comes out the same."""

from __future__ import annotations

import dataclasses
import logging
from datetime import UTC, datetime
from pathlib import Path

from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel
from cxr_tasks.contracts.handoffs.training import TrainedModel
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.evaluate.evaluation_file import read_evaluation
from cxr_tasks.evaluate.flat_metrics import flat_metrics
from cxr_tasks.installation.storage.changes import remove_tree
from cxr_tasks.installation.storage.files import read_json, verified_path, write_json
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.registry import tracking, versions
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.run_log import RunLog
from cxr_tasks.reproduce.comparison import Comparison
from cxr_tasks.reproduce.equality import differences, first_other_epoch, outcome_of
from cxr_tasks.reproduce.record_of_version import RecordedVersion, recorded_dataset, recorded_version
from cxr_tasks.train.loop.watch import Judge

log = logging.getLogger(__name__)

#: On the MLflow run of a reproduction: of which version it is one, and how it ended.
OF_TAG, OUTCOME_TAG = "cxr.reproduction_of", "cxr.reproduction"
#: Largest difference of an AUROC that still counts as the same model; the gate's margin towards a champion.
TOLERANCE = 0.005


@room_for("training again", 64 * MIB)
def reproduce_version(model_name: str, version: int, *, tolerance: float = TOLERANCE) -> Comparison:
    """The comparison of a version with what its recorded recipe gives on its recorded data now.

    ``outcome`` is ``equal`` (every number to the last bit: what a CPU with the same software does), ``close`` or
    ``different`` (``equality.outcome_of``). Nothing is registered. The MLflow run of the new training is tagged as a
    reproduction of the version and holds the comparison; the version is tagged with the outcome. The work folder goes
    when the outcome is ``equal``, else it stays for a person to look at.

    Where the recorded training was ended by the clock or by a search, this one ends after the same epoch: the
    learning rates of a training follow from its recipe, not from where it ends, so the epochs until then are the same.

    Raises:
        NoSuchVersion, DataDefect, ServiceUnavailable: As ``recorded_version`` and ``recorded_dataset``; before any
            training.
    """
    started = datetime.now(UTC)
    paths = RunPaths.for_run("reproduce", f"{model_name} {version} {started.isoformat(timespec='microseconds')}")
    recorded = recorded_version(model_name, version, paths.stage("recorded"))
    prepared = recorded_dataset(recorded)
    recipe = repeatable(recorded)
    log.info("%s: training again for %d epochs, in %s", recorded.name, len(recorded.history), paths.root)

    from cxr_tasks.evaluate.stage import evaluate_model
    from cxr_tasks.train.candidate import train_candidate

    trained = train_candidate(
        prepared,
        recipe,
        paths,
        run_name=f"reproduction of {recorded.name}",
        tags={OF_TAG: f"{model_name}/{version}"},
        judge=end_after(len(recorded.history)),
    )
    evaluated = evaluate_model(trained, prepared, recipe, paths, purpose="reproduce", who=trail.who())
    comparison = compare(
        recorded, trained, evaluated, tolerance=tolerance, started_at=started.isoformat(timespec="seconds"),
        folder=paths.root,
    )  # fmt: skip
    _record(comparison, recorded, paths)
    if comparison["outcome"] == "equal":
        remove_tree(paths.root)
        comparison["folder"] = None
    return comparison


def repeatable(recorded: RecordedVersion) -> Recipe:
    """The recorded recipe without its clock, in the arithmetic that was in force then."""
    precision = recorded.environment.get("precision", recorded.recipe.train.precision)
    train = dataclasses.replace(recorded.recipe.train, max_minutes=None, precision=precision)
    return dataclasses.replace(recorded.recipe, train=train)


def end_after(n_epochs: int) -> Judge:
    """Ends a training after its epoch ``n_epochs``."""
    return lambda progress: (
        f"the recorded training ended after epoch {n_epochs}" if progress.epochs_run >= n_epochs else ""
    )


def compare(
    recorded: RecordedVersion,
    trained: TrainedModel,
    evaluated: EvaluatedModel,
    *,
    tolerance: float,
    started_at: str,
    folder: Path,
) -> Comparison:
    """The comparison as ``reproduce_version`` gives it."""
    evaluation, history = read_evaluation(evaluated), read_json(verified_path(trained.history))
    environment = read_json(Path(trained.model.uri).with_name("environment.json"))
    deviations = differences(recorded.evaluation, evaluation)
    same_rows = recorded.evaluation.rows_sha256 == evaluation.rows_sha256
    return {
        "model_name": recorded.model_name,
        "version": recorded.version,
        "outcome": outcome_of(deviations, same_rows=same_rows, tolerance=tolerance),
        "tolerance": tolerance,
        "recorded_run_id": recorded.run_id,
        "mlflow_run_id": trained.mlflow_run_id,
        "recipe": recorded.recipe.name,
        "dataset": recorded.dataset,
        "fingerprint": recorded.fingerprint,
        "same_test_rows": same_rows,
        "same_predictions": evaluated.predictions.sha256 == recorded.evaluated.predictions.sha256,
        "test_auroc": [recorded.evaluated.test_auroc, evaluated.test_auroc],
        "best_epoch": [recorded.best_epoch, trained.best_epoch],
        "epochs_run": [len(recorded.history), trained.epochs_run],
        "recorded_stopped_by": recorded.stopped_by,
        "first_other_epoch": first_other_epoch(recorded.history, history),
        "environment": {
            name: [recorded.environment.get(name), environment.get(name)]
            for name in dict.fromkeys([*recorded.environment, *environment])
            if recorded.environment.get(name) != environment.get(name)
        },
        "n_numbers": len(flat_metrics(recorded.evaluation)),
        "differences": [
            {
                "name": deviation.name,
                "recorded": deviation.recorded,
                "reproduced": deviation.reproduced,
                "size": deviation.size,
            }
            for deviation in deviations
        ],
        "started_at": started_at,
        "folder": str(folder),
    }


def _record(comparison: Comparison, recorded: RecordedVersion, paths: RunPaths) -> None:
    path = paths.root / "reproduction.json"
    write_json(path, comparison)
    with tracking.outside_failures("MLflow"):
        run = RunLog(tracking.client(), comparison["mlflow_run_id"])
        run.tags({OUTCOME_TAG: comparison["outcome"]})
        run.artifact(path)
    versions.set_version_tags(
        recorded.model_name,
        recorded.version,
        {
            "reproduced.outcome": comparison["outcome"],
            "reproduced.at": comparison["started_at"],
            "reproduced.run_id": comparison["mlflow_run_id"],
        },
    )
    log.info("%s: %s, %d of %d numbers differ", recorded.name, comparison["outcome"], len(comparison["differences"]),
             comparison["n_numbers"])  # fmt: skip
