"""What all DAGs share: retries by kind of error, starts by the clock, and what a run is told and tells."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import (
    CronTriggerTimetable,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
    get_current_context,
)

from cxr_tasks.contracts.families import MODELS
from cxr_tasks.installation.logins import LIST_USER
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.stack.schedules import cron_of

#: Errors that come again with the same input: a retry would only hide them for a while.
_NEVER_RETRIED = (
    "cxr_tasks.contracts.errors.DataDefect",
    "cxr_tasks.contracts.errors.ConfigurationError",
    "cxr_tasks.contracts.errors.NotApproved",
    "cxr_tasks.contracts.errors.ReleaseRefused",
    "cxr_tasks.registry.versions.NoSuchVersion",
    "serving.client.answers.NotServed",
    # It hung once; another try would hang for as long again.
    "airflow.sdk.exceptions.AirflowTaskTimeout",
)

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "cxr",
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            *(
                RetryRule(exception=name, action=RetryAction.FAIL, reason="the same input fails again")
                for name in _NEVER_RETRIED
            ),
            RetryRule(
                exception="cxr_tasks.contracts.errors.ServiceUnavailable",
                action=RetryAction.RETRY,
                retry_delay=timedelta(seconds=30),
                reason="a service outside did not answer",
            ),
        ]
    ),
}


def on_cron(cron_variable: str) -> Any:
    """Start by the cron expression in environment variable ``cron_variable`` where there is one.

    An Asset's event starts no run by itself: Airflow keeps one note for all that come while it makes a run. The list
    of requests starts a run for each.
    """
    cron = cron_of(os.environ, cron_variable)
    if not cron:
        return None
    # No start date and no tolerance: or a stack started on a Monday noon would run Monday morning's date at once.
    return CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(0))


def champions_asked_for() -> list[dict[str, Any]]:
    """The champions this run is about: that of the model in its form, or of all models.

    A model without a champion is left out: where none is asked for by name, that is no error.
    """
    from cxr_tasks.registry import rest, versions
    from serving.release.take_up import champion_of

    if model := get_current_context()["params"]["model"]:
        return [champion_of(model).to_payload()]
    return [champion_of(model).to_payload() for model in MODELS if rest.version_with_alias(model, versions.CHAMPION)]


def challenger_asked_for() -> dict[str, Any]:
    """Model and version of the question this run has to ask."""
    from cxr_tasks.contracts.errors import ConfigurationError

    params = get_current_context()["params"]
    model, version = params["model"], params["version"]
    if not model or not version:
        raise ConfigurationError(f"expected model and version in the form, found {model} and {version}")
    return {"model": model, "version": int(version)}


def asked_for() -> dict[str, Any]:
    """What this run was asked for: the fields of its form, and what the run before handed to it."""
    return dict(get_current_context()["params"])


#: Fields of the form that change a recipe: those that its dataset hangs on, and those of its training alone.
OF_DATASET, OF_TRAINING = ("feedback", "recalibrate"), ("epochs", "gate_floor", "allow_cpu")


def recipe_asked_for(names: tuple[str, ...] = (*OF_DATASET, *OF_TRAINING)) -> Any:
    """The ``Recipe`` of this run's form: the file's, with what the fields ``names`` set differently."""
    from cxr_tasks.contracts.recipes import load_recipe

    asked = asked_for()
    return load_recipe(asked["recipe"]).with_overrides(**{name: asked.get(name) for name in names})


def tell_result(result: str) -> None:
    """Say in the list of requests what this run has come to; it is the outcome when the run ends well."""
    from cxr_tasks.worklist.runs import add_run
    from cxr_tasks.worklist.store import Worklist

    context, worklist = get_current_context(), Worklist()
    dag_run = context["dag_run"]
    if worklist.of_run(dag_run.dag_id, dag_run.run_id) is None:
        add_run(
            worklist,
            {
                "dag_id": dag_run.dag_id,
                "dag_run_id": dag_run.run_id,
                "conf": dag_run.conf,
                "triggering_user_name": dag_run.triggering_user_name,
            },
        )
    worklist.tell(dag_run.dag_id, dag_run.run_id, result)


def triggered_by() -> Any:
    """Who started the calling task's run in the UI or by the API; ``airflow`` where an event or a schedule did."""
    from cxr_tasks.registry.persons import AIRFLOW_LOGIN, Person

    user = get_current_context()["dag_run"].triggering_user_name
    return Person.of("airflow") if user in (None, "", LIST_USER) else Person(user, AIRFLOW_LOGIN)


def run_paths() -> RunPaths:
    """The folder of the DAG run that the calling task belongs to."""
    context = get_current_context()
    return RunPaths.for_run(context["ti"].dag_id, context["run_id"])


def airflow_tags() -> dict[str, str]:
    """Which task of which DAG run makes this MLflow run."""
    context = get_current_context()
    return {"cxr.dag_id": context["ti"].dag_id, "cxr.dag_run_id": context["run_id"]}
