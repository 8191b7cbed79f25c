"""What all DAGs share: retries by kind of error, trigger forms, the Assets between them, task links."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow.sdk import (
    Asset,
    AssetWatcher,
    BaseOperatorLink,
    CronTriggerTimetable,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    get_current_context,
)
from work_off import WorkOff

from cxr_tasks.contracts.recipes import recipe_names
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


@dataclass(frozen=True, slots=True)
class Family:
    """The recipes of one registered model, and the Assets that lead from its images to its training."""

    name: str
    model: str
    recipes: tuple[str, ...]
    new_images: Asset
    """New images have arrived (sent from outside, or by hand in the UI); its extra may name recipe and data_folder."""
    prepared: Asset


def _family(name: str) -> Family:
    model = f"cxr_{name}"
    return Family(
        name=name,
        model=model,
        recipes=tuple(recipe_names(model)),
        new_images=Asset(uri=f"cxr://images/{name}", name=f"new_images_{name}", group="cxr"),
        prepared=Asset(uri=f"cxr://dataset/{name}", name=f"prepared_dataset_{name}", group="cxr"),
    )


BINARY, MULTILABEL = _family("binary"), _family("multilabel")
FAMILIES = (BINARY, MULTILABEL)

#: One Asset for all models each; an event's extra names model and version.
CHALLENGER = Asset(uri="cxr://challenger", name="challenger", group="cxr")
#: No task publishes it: whoever moves the alias, by approval, from a shell or in the MLflow UI, the list notices. Its
#: events may come from outside.
CHAMPION = Asset(uri="cxr://champion", name="champion", group="cxr")
#: No event of its own is needed: it holds the watcher that works off the list of requests in the triggerer.
REQUESTS = Asset(
    uri="cxr://requests",
    name="requests",
    group="cxr",
    watchers=[AssetWatcher(name="work_off", trigger=WorkOff([family.model for family in FAMILIES]))],
)
SERVED = Asset(uri="cxr://served", name="served_model", group="cxr")
REPORT = Asset(uri="cxr://report", name="report", group="cxr")


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


def training_params(family: Family) -> dict[str, Param]:
    """Fields of the trigger form that dataset and training share."""
    synthetic = f"synthetic_{family.name}"
    return {
        "recipe": Param(
            synthetic if synthetic in family.recipes else family.recipes[0],
            type="string",
            enum=list(family.recipes),
            title="Recipe",
            description="The experiment: a file in cxr_tasks/recipes.",
        ),
        "epochs": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=1000,
            title="Epochs",
            description="At most this many; empty: as the recipe says.",
        ),
        "gate_floor": Param(
            None,
            type=["null", "number"],
            minimum=0.5,
            maximum=1.0,
            title="Gate floor",
            description="The lower end of the test AUROC's interval must reach this; empty: as the policy says.",
        ),
        "allow_cpu": Param(
            False,
            type="boolean",
            title="Allow CPU",
            description="Train a recipe that is made for a GPU on a CPU all the same; without this it is refused.",
        ),
    }


def data_folder_param(if_empty: str = "Empty: the recipe's own.") -> Param:
    return Param(
        None,
        type=["null", "string"],
        title="Data folder",
        description=f"Folder with the images, on the machine that runs the tasks. {if_empty}",
    )


def model_param() -> Param:
    return Param(
        None,
        type=["null", "string"],
        enum=[None, *(family.model for family in FAMILIES)],
        title="Model",
        description="Name in the registry; empty: every model that has a champion.",
    )


def champions_asked_for() -> list[dict[str, Any]]:
    """The champions this run is about: that of the model in its form, or of all models.

    A model without a champion is left out: where none is asked for by name, that is no error.
    """
    from cxr_tasks.registry import rest, versions
    from serving.release.stage import champion_of

    if model := get_current_context()["params"]["model"]:
        return [champion_of(model).to_payload()]
    models = [family.model for family in FAMILIES]
    return [champion_of(one).to_payload() for one in models if rest.version_with_alias(one, versions.CHAMPION)]


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


def tell_result(result: str) -> None:
    """Say in the list of requests what this run has come to; it is the outcome when the run ends well."""
    from cxr_tasks.worklist.store import Worklist
    from cxr_tasks.worklist.work_off import add_run

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


class TaskLink(BaseOperatorLink):
    """A button on the task's page in the UI; the task pushes the address as an XCom under ``key``."""

    def __init__(self, label: str, key: str):
        self._label = label
        self._key = key

    @property
    def name(self) -> str:
        return self._label

    @property
    def xcom_key(self) -> str:
        # The very XCom that the task pushes: of a mapped task nothing else would be stored for the link.
        return self._key

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return ti_key.xcom_pull(task_ids=ti_key.task_id, key=self._key, map_indexes=ti_key.map_index) or ""


def with_links(task_output: Any, *links: TaskLink) -> Any:
    """The output of a ``@task`` call, with buttons added to that task."""
    task_output.operator.operator_extra_links = tuple(links)
    return task_output
