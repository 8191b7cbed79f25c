"""A search for good settings: Optuna proposes each candidate when its training starts, and ends those that fall behind.

All candidates of a run share one study, a journal file in the run's folder. Each of them, a mapped task in a process of
its own, asks for its settings when it starts, so a later one learns from those that have ended by then.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.recipes import Recipe
from cxr_tasks.installation.storage.locks import file_lock
from cxr_tasks.train.candidates.recipe_settings import setting_of
from cxr_tasks.train.candidates.search_space import dimensions_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

JOURNAL_FILE = "search.journal"
STUDY_NAME = "candidates"
#: Of a trial: the number of its candidate. Trials are numbered in the order in which tasks ask.
CANDIDATE = "candidate"
#: Proposals of the sampler before an untried one is drawn at random.
SAMPLED = 10
#: Spaces of choices up to this size are gone through for what is untried.
LARGEST_GRID = 10_000

Scores = Mapping[int, float]


class Search:
    """The study of one run, as one process sees it."""

    def __init__(self, folder: Path, recipe: Recipe):
        """``folder``: the run's own, on one machine or on a file system whose locks hold between machines."""
        if recipe.search is None:
            raise ValueError("expected a recipe with a search space")
        self.spec = recipe.search
        self._dimensions = dimensions_of(recipe)
        self._own = self._own_params(recipe)
        self._n_epochs = sum(phase.epochs for phase in recipe.train.phases) or recipe.train.epochs
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def settings_of(self, number: int) -> dict[str, Any]:
        """Settings of candidate ``number``: proposed when first asked for, the same whenever asked again.

        The first one has the recipe's own settings where the space holds them, so that a search ends no worse than the
        recipe. No two candidates get the same, also when their processes ask at once. A proposal follows from the
        search's seed, the number, and what the other candidates have been given and have reached so far.
        """
        with self._alone() as study:
            if self._trial(study, number) is None:
                self._enter(study, number, self._proposal(study.trials, number))
            params = self._known_trial(study, number).params
        return self._settings(params)

    def tell_epochs(self, number: int, scores: Scores) -> str:
        """Tell validation scores by epoch, from 1 and all of them each time; why to end now, or ''.

        Candidates are compared by the best score up to an epoch. One that was ended is told so again, for a task that
        was killed just then.
        """
        import optuna

        with self._alone() as study:
            known = self._known_trial(study, number)
            if known.state.is_finished():
                return self._behind(known) if known.state == optuna.trial.TrialState.PRUNED else ""
            trial = optuna.Trial(study, known._trial_id)
            for epoch, best in zip(sorted(scores), _best_so_far(scores), strict=True):
                if epoch not in known.intermediate_values:
                    trial.report(best, epoch)
            if not self.spec.stop_early or not trial.should_prune():
                return ""
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return self._behind(self._known_trial(study, number))

    def tell_end(self, number: int, score: float | None) -> None:
        """Tell what a candidate reached in the end; None: it failed. What was told before stands."""
        import optuna

        state = optuna.trial.TrialState.FAIL if score is None else optuna.trial.TrialState.COMPLETE
        with self._alone() as study:
            trial = self._trial(study, number)
            if trial is not None:
                study.tell(trial.number, score, state=state, skip_if_finished=True)

    def was_ended_early(self, number: int) -> bool:
        import optuna

        with self._alone() as study:
            return self._known_trial(study, number).state == optuna.trial.TrialState.PRUNED

    @contextmanager
    def _alone(self) -> Iterator[Study]:
        """The study, for this process alone until the block ends; the lock goes with a process that is killed."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal = self._folder / JOURNAL_FILE
        with file_lock(journal.with_suffix(".lock"), what=f"the search in {self._folder}", purpose="a candidate of it"):
            # The journal's own lock would outlive a killed process; within ours it has nothing left to do.
            backend = JournalFileBackend(str(journal), lock_obj=_NoLock())  # type: ignore[arg-type]
            yield optuna.create_study(
                storage=JournalStorage(backend),
                study_name=STUDY_NAME,
                direction="maximize",
                pruner=self._pruner(),
                load_if_exists=True,
            )

    def _pruner(self) -> Any:
        """Ends what is below the median of those that ran to their end, at the same epoch.

        Not before a few have run to their end, nor in the first quarter of the epochs, whose order says little of the
        last one's.
        """
        import optuna

        n_before = max(2, min(5, self.spec.n_candidates // 4))
        return optuna.pruners.MedianPruner(n_startup_trials=n_before, n_warmup_steps=max(2, -(-self._n_epochs // 4)))

    def _proposal(self, trials: Sequence[FrozenTrial], number: int) -> dict[str, Any]:
        """Parameters of a new trial after ``trials``, different from all of theirs."""
        import numpy as np
        import optuna

        taken = {_key(trial.params) for trial in trials}
        if self._own is not None and _key(self._own) not in taken:
            if number == 1:
                return self._own
            taken.add(_key(self._own))
        n_random = max(3, min(10, self.spec.n_candidates // 3))
        for attempt in range(SAMPLED):
            # A seed of its own for each: samplers of one seed would propose the same in every process.
            seed = int(np.random.default_rng([self.spec.seed, number, attempt]).integers(2**32))
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=n_random)
            aside = optuna.create_study(direction="maximize", sampler=sampler)
            aside.add_trials(trials)
            params = aside.ask(self._distributions()).params
            if _key(params) not in taken:
                return params
        return self._untried(taken, number)

    def _untried(self, taken: set[str], number: int) -> dict[str, Any]:
        """Any of the combinations that no candidate has, drawn at random."""
        import numpy as np

        if math.prod(dimension.n_values for dimension in self._dimensions) > LARGEST_GRID:
            raise DataDefect(
                f"search: {SAMPLED} proposals for candidate {number} were those of other candidates; widen search.space"
            )
        values = [[dimension.encoded(value) for value in dimension.all_values()] for dimension in self._dimensions]
        names = [dimension.dotted for dimension in self._dimensions]
        grid = [dict(zip(names, combination, strict=True)) for combination in itertools.product(*values)]
        left = [point for point in grid if _key(point) not in taken]
        return left[int(np.random.default_rng([self.spec.seed, number]).integers(len(left)))]

    def _own_params(self, recipe: Recipe) -> dict[str, Any] | None:
        """The recipe's values in the space; None where one of them lies outside."""
        values = [(dimension, setting_of(recipe, dimension.dotted)) for dimension in self._dimensions]
        if not all(dimension.holds(value) for dimension, value in values):
            return None
        return {dimension.dotted: dimension.encoded(value) for dimension, value in values}

    def _enter(self, study: Study, number: int, params: dict[str, Any]) -> None:
        """Add the trial in one line of the journal: a kill leaves all of it or nothing."""
        import optuna

        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params=params,
                distributions=self._distributions(),
                user_attrs={CANDIDATE: number},
            )
        )

    def _distributions(self) -> dict[str, BaseDistribution]:
        return {dimension.dotted: dimension.distribution() for dimension in self._dimensions}

    def _settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {dimension.dotted: dimension.decoded(params[dimension.dotted]) for dimension in self._dimensions}

    @staticmethod
    def _trial(study: Study, number: int) -> FrozenTrial | None:
        return next((trial for trial in study.trials if trial.user_attrs.get(CANDIDATE) == number), None)

    def _known_trial(self, study: Study, number: int) -> FrozenTrial:
        trial = self._trial(study, number)
        if trial is None:
            raise DataDefect(f"{self._folder / JOURNAL_FILE}: expected a trial of candidate {number}, found none")
        return trial

    @staticmethod
    def _behind(trial: FrozenTrial) -> str:
        best = max(trial.intermediate_values.values())
        return (
            f"behind the other candidates: {best:.4f} at best after epoch {trial.last_step}, less than the median of "
            "those that ran to their end"
        )


def _best_so_far(scores: Scores) -> Iterator[float]:
    return itertools.accumulate((scores[epoch] for epoch in sorted(scores)), max)


def _key(params: Mapping[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)


class _NoLock:
    """A lock for Optuna's journal that is always had."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None
