"""Which candidate goes on: the one that is best on validation, in one table beside all others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.training import PlannedCandidate, TrainedModel, TrainingPlan
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.installation.storage.files import read_json, verified_path, write_json, write_text
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.registry.run_log import RunLog
from cxr_tasks.registry.tracking import client, open_run, outside_failures, runs_with_tag
from cxr_tasks.train.candidate import CANDIDATE_TAG
from cxr_tasks.train.candidates.comparison_table import CandidateRow, Comparison, as_markdown, as_text, summary_of
from cxr_tasks.train.loop.validation_logits import MeanAuroc, ValidationLogits, difference, mean_auroc_of
from cxr_tasks.train.stage import FAILURES_FOLDER, PARENT_TAG, recipe_of

log = logging.getLogger(__name__)

#: A process that is killed, for instance by a lack of memory, leaves no word.
NO_RESULT = "its task ended without a result and left no reason; see the task's log, it may have been killed"
#: A description in MLflow that is shown as a whole.
NOTE_LENGTH = 5000


@room_for("choosing a candidate", 2 * MIB)
def pick_winner(plan: TrainingPlan, trained: Sequence[TrainedModel | None], paths: RunPaths) -> TrainedModel:
    """The candidate with the highest mean AUROC on validation; of equal ones the one with the lower validation loss.

    One that a search ended early may win too, should those that went on have lost what they had.
    One comparison of all candidates goes to the task's log, to ``candidates.json`` and ``candidates.md`` in the run's
    folder of training, and to the MLflow run of all candidates, which ends here. Only the validation split is touched.
    Called again it gives the same.

    Args:
        trained: The candidates that were trained, in any order; those that failed are None or left out.

    Raises:
        DataDefect: No candidate was trained; the text gives each one's reason. Or a file is not what it was.
        ServiceUnavailable: MLflow does not answer.
    """
    finished = {model.candidate: model for model in trained if model is not None}
    comparison = compare(plan, finished, paths)
    folder = paths.stage("train")
    write_json(folder / "candidates.json", comparison)
    write_text(folder / "candidates.md", as_markdown(comparison))
    log.info("%s\n%s", plan.run_name, as_text(comparison))
    winner = None if comparison["winner"] is None else finished[comparison["winner"]]
    run_id = plan.parent_run_id
    if run_id is not None:
        _mark_children(comparison, plan.model_name, run_id)
        with open_run(plan.model_name, plan.run_name, run_id=run_id) as run:
            _log_comparison(run, comparison, paths)
            return _known(winner, comparison)
    winner = _known(winner, comparison)
    with outside_failures("MLflow"):
        _log_comparison(RunLog(client(), winner.mlflow_run_id), comparison, paths)
    return winner


def compare(plan: TrainingPlan, finished: dict[int, TrainedModel], paths: RunPaths) -> Comparison:
    """All candidates with what they reached, JSON-ready; ``winner`` is a number, or None where none was trained."""
    recipe = Recipe.from_dict(plan.recipe)
    logits = {number: _logits_of(plan, trained) for number, trained in finished.items()}
    scores = {number: mean_auroc_of(kept, recipe.evaluate) for number, kept in logits.items()}
    losses = {number: _best_loss(trained) for number, trained in finished.items()}
    winner = max(scores, key=lambda place: (scores[place].value, -losses[place], -place), default=None)
    rows = []
    for planned in plan.candidates:
        number = planned.number
        if number not in finished:
            rows.append(_failed_row(planned, paths))
            continue
        row = _row(finished[number], scores[number])
        row["outcome"] = "winner" if number == winner else row["outcome"]
        if winner is not None and number != winner and logits[number].is_about_the_same(logits[winner]):
            behind = difference(scores[number], scores[winner], recipe.evaluate.confidence)
            row["to_winner"], row["to_winner_lower"], row["to_winner_upper"] = behind.value, behind.lower, behind.upper
        rows.append(row)
    best = scores[winner] if winner is not None else None
    return {
        "model_name": plan.model_name,
        "run_name": plan.run_name,
        "recipe": recipe.name,
        "mlflow_run_id": plan.parent_run_id,
        "split": "validation",
        "n_images": len(logits[winner].targets) if winner is not None else 0,
        "n_patients": len(best.by_patient) if best else 0,
        "n_findings": best.n_findings if best else 0,
        "n_stressed_views": recipe.train.stress_views,
        "interval": best.method if best else "",
        "winner": winner,
        "candidates": rows,
    }


def _logits_of(plan: TrainingPlan, trained: TrainedModel) -> ValidationLogits:
    recipe_of(plan, trained)  # of this plan, or it has no place in its table
    if trained.validation is None:
        raise DataDefect(
            f"candidate {trained.candidate} of {plan.run_name}: expected its logits on validation, found none"
        )
    return ValidationLogits.read(verified_path(trained.validation))


def _best_loss(trained: TrainedModel) -> float:
    return float(read_json(verified_path(trained.history))[trained.best_epoch - 1]["val_loss"])


def _row(trained: TrainedModel, score: MeanAuroc) -> CandidateRow:
    return {
        "number": trained.candidate,
        "name": trained.candidate_name,
        "settings": trained.settings,
        "outcome": _outcome(trained),
        "reason": trained.stopped_by,
        "epochs_run": trained.epochs_run,
        "best_epoch": trained.best_epoch,
        "val_auroc": trained.val_auroc,
        "val_auroc_lower": trained.val_auroc_lower,
        "val_auroc_upper": trained.val_auroc_upper,
        "val_score": score.value,
        "to_winner": None,
        "to_winner_lower": None,
        "to_winner_upper": None,
        "seconds": trained.seconds,
        "mlflow_run_id": trained.mlflow_run_id,
        "recipe_sha256": trained.recipe_sha256,
        "dataset_fingerprint": trained.dataset_fingerprint,
    }


def _outcome(trained: TrainedModel) -> str:
    if trained.was_ended_by_clock:
        return "ended by a clock"
    return "ended early" if trained.was_ended_early else "finished"


def _failed_row(planned: PlannedCandidate, paths: RunPaths) -> CandidateRow:
    """What is known of a candidate without a result: the reason it left, with the settings that a search gave it."""
    note = paths.stage("train") / FAILURES_FOLDER / f"{planned.number}.json"
    known: dict[str, Any] = {"name": planned.name, "settings": planned.settings, "reason": NO_RESULT}
    if note.exists():
        known = read_json(note)
    return CandidateRow(
        number=planned.number,
        name=known["name"],
        settings=known["settings"],
        outcome="failed",
        reason=known["reason"],
        epochs_run=None, best_epoch=None, val_auroc=None, val_auroc_lower=None, val_auroc_upper=None, val_score=None,
        to_winner=None, to_winner_lower=None, to_winner_upper=None, seconds=None, mlflow_run_id=None,
        recipe_sha256=None, dataset_fingerprint=None,
    )  # fmt: skip


def _known(winner: TrainedModel | None, comparison: Comparison) -> TrainedModel:
    if winner is not None:
        return winner
    reasons = "; ".join(f"{row['number']} ({row['name']}): {row['reason']}" for row in comparison["candidates"])
    raise DataDefect(f"{comparison['run_name']}: expected at least one trained candidate, found none. {reasons}")


def _log_comparison(run: RunLog, comparison: Comparison, paths: RunPaths) -> None:
    rows = comparison["candidates"]
    best = next((row for row in rows if row["number"] == comparison["winner"]), None)
    numbers: dict[str, float] = {"n_candidates": len(rows)}
    for outcome in ("failed", "ended early"):
        numbers[f"n_{outcome.replace(' ', '_')}"] = sum(row["outcome"] == outcome for row in rows)
    if best is not None:
        reached = {
            "best_val_auroc": best["val_auroc"],
            "best_val_auroc_lower": best["val_auroc_lower"],
            "best_val_auroc_upper": best["val_auroc_upper"],
            "best_val_score": best["val_score"],
        }
        numbers |= {name: value for name, value in reached.items() if value is not None}
        run.tags({"cxr.winner": f"{best['number']}: {best['name']}", "cxr.winner_run_id": best["mlflow_run_id"]})
    run.metrics(numbers)
    note = as_markdown(comparison)
    run.tags({"mlflow.note.content": note if len(note) <= NOTE_LENGTH else summary_of(comparison)})
    for name in ("candidates.json", "candidates.md"):
        run.artifact(paths.stage("train") / name)


def _mark_children(comparison: Comparison, model_name: str, parent_run_id: str) -> None:
    """Say on each child run what came of it; a run that its killed task left RUNNING ends FAILED."""
    rows = {str(row["number"]): row for row in comparison["candidates"]}
    for child in runs_with_tag(model_name, PARENT_TAG, parent_run_id):
        row = rows.get(child.data.tags.get(CANDIDATE_TAG, ""))
        if row is None:
            continue
        with outside_failures("MLflow"):
            tags = {"cxr.outcome": row["outcome"], "cxr.reason": row["reason"][:NOTE_LENGTH]}
            RunLog(client(), child.info.run_id).tags(tags)
            if row["outcome"] == "failed" and child.info.status == "RUNNING":
                client().set_terminated(child.info.run_id, "FAILED")
