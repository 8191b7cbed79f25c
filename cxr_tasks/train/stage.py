"""Several candidates of one recipe: planned together, trained one by one, each by a task of its own."""

from __future__ import annotations

import logging

from cxr_tasks.contracts.artifacts import sha256_json
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.training import PlannedCandidate, TrainedModel, TrainingPlan
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.contracts.text_table import text_table
from cxr_tasks.datasets.latest import dataset_of
from cxr_tasks.images.version import PREPARE_VERSION
from cxr_tasks.installation.storage.files import read_json, verified_path, write_json
from cxr_tasks.installation.storage.paths import RunPaths, datasets_root, relocated
from cxr_tasks.installation.storage.space import MIB, room_for
from cxr_tasks.registry.run_log import RunLog
from cxr_tasks.registry.tracking import begin_run, client, runs_with_tag
from cxr_tasks.train.candidate import TRAINING_TAG, train_candidate
from cxr_tasks.train.candidates.candidates import candidates_of, datasets_needed
from cxr_tasks.train.candidates.checks import check_training
from cxr_tasks.train.candidates.recipe_settings import with_settings
from cxr_tasks.train.candidates.search import Search
from cxr_tasks.train.dataset_fit import check_fit, check_version
from cxr_tasks.train.devices import require_device
from cxr_tasks.train.loop.validation_logits import ValidationLogits, mean_auroc_of
from cxr_tasks.train.loop.watch import Judge

log = logging.getLogger(__name__)

#: How MLflow knows a child run; its UI shows it below its parent.
PARENT_TAG = "mlflow.parentRunId"
#: Where candidates that failed say why, as ``<number>.json``.
FAILURES_FOLDER = "failures"


@room_for("planning the training", 2 * MIB)
def start_training(
    prepared: PreparedDataset,
    recipe: Recipe,
    paths: RunPaths,
    *,
    run_name: str = "",
    tags: dict[str, str] | None = None,
) -> TrainingPlan:
    """What the candidates of ``recipe`` are trained by; with several of them an MLflow run for all.

    Called again it gives the same plan, with the same MLflow run. Nothing has been trained when it raises.

    Args:
        prepared: The dataset of the recipe's own resolution.

    Raises:
        ConfigurationError: Recipe and dataset do not fit, the gate's policy, a candidate or the search space is not
            right, starting weights or a first model are neither there nor to be had, or a candidate's resolution has
            not been prepared.
        ServiceUnavailable: MLflow does not answer.
    """
    name = run_name or recipe.name
    check_fit(prepared, recipe)
    check_version(prepared, recipe)
    require_device(recipe, n_images=prepared.n_train)
    planned = check_training(recipe)
    datasets = tuple(_dataset_with(pixels, prepared, recipe) for pixels in datasets_needed(recipe))
    mark = f"{paths.root}:plan:{sha256_json({'recipe': recipe.sha256, 'dataset': prepared.fingerprint})}"
    plan = TrainingPlan(
        model_name=recipe.model_name,
        run_name=name,
        recipe=recipe.to_dict(),
        datasets=datasets,
        candidates=planned,
        parent_run_id=_parent_run(recipe, name, mark, tags or {}) if len(planned) > 1 else None,
        tags=dict(tags or {}),
    )
    write_json(paths.stage("train") / "plan.json", plan.to_payload())
    log.info(
        "%s\n%s",
        name,
        text_table(["candidate", "what differs"], [[candidate.number, candidate.name] for candidate in planned]),
    )
    return plan


def train_one(plan: TrainingPlan, number: int, paths: RunPaths) -> TrainedModel:
    """Candidate ``number`` of ``plan``, trained by ``train_candidate`` or taken up where an earlier try was killed.

    With a search its settings are proposed now, or were when an earlier try began, and its training ends when it falls
    behind. A failure is noted in the run's folder, so that the comparison of the others can say what became of it.

    Raises:
        ConfigurationError: The plan has no such candidate; or as ``train_candidate``.
        DataDefect, ServiceUnavailable: As ``train_candidate``.
    """
    recipe, folder = Recipe.from_dict(plan.recipe), paths.stage("train")
    planned = next((candidate for candidate in plan.candidates if candidate.number == number), None)
    if planned is None:
        raise ConfigurationError(
            f"{plan.run_name}: expected a candidate from 1 to {len(plan.candidates)}, found {number}"
        )
    search = Search(folder, recipe) if recipe.search else None
    candidate = _with_proposal(planned, search)
    settings = candidate.settings or {}
    log.info("candidate %d of %d: %s", number, len(plan.candidates), candidate.name)
    try:
        own = with_settings(recipe, settings, f"recipe {recipe.name}, candidate {number}")
        trained = train_candidate(
            _datasets(plan)[own.pixels],
            own,
            paths,
            run_name=plan.run_name if plan.parent_run_id is None else f"{number}: {candidate.name}",
            tags=plan.tags if plan.parent_run_id is None else {**plan.tags, PARENT_TAG: plan.parent_run_id},
            candidate=candidate,
            judge=_judge(search, number) if search else None,
        )
    except Exception as error:
        reason = {"name": candidate.name, "settings": settings, "reason": f"{type(error).__name__}: {error}"}
        write_json(folder / FAILURES_FOLDER / f"{number}.json", reason)
        if search and isinstance(error, (DataDefect, ConfigurationError)):  # others are tried again
            search.tell_end(number, None)
        raise
    if search:
        search.tell_end(number, score_of(trained, own))
    return trained


def recipe_of(plan: TrainingPlan, trained: TrainedModel) -> Recipe:
    """The recipe that ``trained`` was trained by: the plan's, with its candidate's settings.

    Raises:
        DataDefect: It was trained by another recipe.
    """
    recipe = with_settings(Recipe.from_dict(plan.recipe), trained.settings)
    if recipe.sha256 != trained.recipe_sha256:
        raise DataDefect(
            f"candidate {trained.candidate} of {plan.run_name}: expected a model trained by recipe "
            f"{recipe.sha256[:12]}, found one of {trained.recipe_sha256[:12]}"
        )
    return recipe


def dataset_for(plan: TrainingPlan, trained: TrainedModel) -> PreparedDataset:
    """The dataset that ``trained`` was trained on; ``DataDefect`` where the plan has none such."""
    for dataset in plan.datasets:
        if dataset.fingerprint == trained.dataset_fingerprint:
            return dataset
    known = ", ".join(dataset.fingerprint[:12] for dataset in plan.datasets)
    raise DataDefect(
        f"candidate {trained.candidate} of {plan.run_name}: expected a model trained on one of the datasets {known}, "
        f"found {trained.dataset_fingerprint[:12]}"
    )


def score_of(trained: TrainedModel, recipe: Recipe) -> float:
    """What candidates are compared by: ``validation_logits.mean_auroc_of``, or ``val_auroc`` without logits."""
    if trained.validation is None:
        return trained.val_auroc
    return mean_auroc_of(ValidationLogits.read(verified_path(trained.validation)), recipe.evaluate).value


def _with_proposal(planned: PlannedCandidate, search: Search | None) -> PlannedCandidate:
    if search is None:
        return planned
    from cxr_tasks.train.candidates.candidates import name_of

    settings = search.settings_of(planned.number)
    return PlannedCandidate(number=planned.number, name=name_of(settings), settings=settings)


def _judge(search: Search, number: int) -> Judge:
    return lambda progress: search.tell_epochs(
        number, {int(record["epoch"]): record["val_score"] for record in progress.history}
    )


def _parent_run(recipe: Recipe, name: str, mark: str, tags: dict[str, str]) -> str:
    """The run for all candidates: that of an earlier try, or a new one."""
    runs = runs_with_tag(recipe.model_name, TRAINING_TAG, mark)
    if runs:
        return runs[0].info.run_id
    marks = {**tags, TRAINING_TAG: mark, "cxr.recipe": recipe.name, "cxr.recipe_sha256": recipe.sha256}
    run_id = begin_run(recipe.model_name, name, tags=marks)
    RunLog(client(), run_id).params({"search": plain(recipe.search)} if recipe.search else _as_params(recipe))
    return run_id


def _as_params(recipe: Recipe) -> dict[str, str]:
    return {f"candidate.{candidate.number}": candidate.name for candidate in candidates_of(recipe)}


def _datasets(plan: TrainingPlan) -> dict[PixelSpec, PreparedDataset]:
    needed = datasets_needed(Recipe.from_dict(plan.recipe))
    return dict(zip(needed, plan.datasets, strict=True))


def _dataset_with(pixels: PixelSpec, prepared: PreparedDataset, recipe: Recipe) -> PreparedDataset:
    """The dataset of the same images as ``prepared`` with ``pixels``."""
    if pixels == recipe.pixels:
        return prepared
    wanted = read_json(relocated(prepared.folder) / "provenance.json")
    for file in sorted((datasets_root() / prepared.dataset).glob("*/provenance.json")):
        provenance = read_json(file)
        same = all(provenance[key] == wanted[key] for key in ("manifest_sha256", "vocabulary"))
        is_of_today = (provenance.get("versions") or {}).get("prepare") == PREPARE_VERSION
        if same and is_of_today and provenance["pixels"] == plain(pixels):
            return dataset_of(prepared.dataset, provenance["fingerprint"])
    raise ConfigurationError(
        f"recipe {recipe.name}: a candidate asks for images of {pixels.size_px} px ({pixels.fit}); expected dataset "
        f"{prepared.dataset} prepared in that size from the same manifest, found none below "
        f"{datasets_root() / prepared.dataset}; prepare it with this recipe, or take pixels.size_px out of its "
        "candidates"
    )
