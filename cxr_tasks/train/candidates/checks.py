"""What a training cannot do without, looked for before anything starts: before its data are read. No TensorFlow."""

from __future__ import annotations

from cxr_tasks.contracts.handoffs.training import PlannedCandidate
from cxr_tasks.contracts.policies import load_policy
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.contracts.train_specs import TrainSpec
from cxr_tasks.train.candidates.candidates import candidates_of
from cxr_tasks.train.candidates.recipe_settings import with_settings
from cxr_tasks.train.candidates.search_space import dimensions_of
from cxr_tasks.train.devices import require_device
from cxr_tasks.train.weights.starting_weights import check_first_model, check_starting_weights


def check_training(recipe: Recipe, *, asks_registry: bool = True) -> tuple[PlannedCandidate, ...]:
    """The candidates of ``recipe``, once all that they need is seen to be there.

    Args:
        asks_registry: Whether former versions are looked for too; the registry has to answer then.

    Raises:
        ConfigurationError: It is made for a GPU and there is none; the gate's policy, a candidate or the search space
            is not right; or starting weights or the first model of self-training are neither there nor to be had.
        ServiceUnavailable: The registry does not answer.
    """
    load_policy(recipe.model_name)
    require_device(recipe)
    planned = _planned(recipe)
    for spec in _train_specs(recipe):
        check_starting_weights(spec, asks_registry=asks_registry)
        check_first_model(spec.labels.first_model, asks_registry=asks_registry)
    return planned


def _planned(recipe: Recipe) -> tuple[PlannedCandidate, ...]:
    if recipe.search is None:
        candidates = candidates_of(recipe)
        return tuple(
            PlannedCandidate(number=candidate.number, name=candidate.name, settings=candidate.settings)
            for candidate in candidates
        )
    dimensions_of(recipe)
    numbers = range(1, recipe.search.n_candidates + 1)
    return tuple(PlannedCandidate(number=number, name=f"proposal {number}", settings=None) for number in numbers)


def _train_specs(recipe: Recipe) -> list[TrainSpec]:
    """One ``TrainSpec`` for each different network with starting weights and first model among the candidates."""
    if recipe.search is None:
        specs = [candidate.recipe.train for candidate in candidates_of(recipe)]
    else:
        probes = [{dimension.dotted: value} for dimension in dimensions_of(recipe) for value in dimension.probes]
        specs = [recipe.train, *(with_settings(recipe, probe).train for probe in probes)]
    return list({(spec.network, spec.starting_weights, spec.labels.first_model): spec for spec in specs}.values())
