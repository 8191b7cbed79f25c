"""What is known of a followed run: its DAGs and tasks in order, their states, and the person who is waited for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from cxr_tasks.cli.following import approval
from cxr_tasks.contracts.families import FAMILIES
from cxr_tasks.worklist.airflow_api import DagRun, TaskRun

_DATASET = ("list_images", "inspect", "collect", "validate", "prepare", "verify")
_TRAIN = (
    *("plan", "candidates", "train", "choose"),
    *("evaluate", "check_predictions", "gate", "passed", "register", "propose"),
)

#: Model -> the DAGs of its family in the order in which their Assets start them, each with its tasks in order.
CHAINS: dict[str, dict[str, tuple[str, ...]]] = {
    family.model: {
        f"cxr_dataset_{family.name}": _DATASET,
        f"cxr_train_{family.name}": _TRAIN,
        approval.DAG_ID: ("find", "report", "prepare", "evidence", "approve", "settle"),
        "cxr_release": ("find", "prepare", "publish"),
        "cxr_report": ("find", "report"),
    }
    for family in FAMILIES
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A task of a chain."""

    dag_id: str
    task_id: str
    label: str
    """The same for all models: ``train.gate`` for task ``gate`` of ``cxr_train_binary``."""

    @property
    def key(self) -> tuple[str, str]:
        return self.dag_id, self.task_id


@dataclass(slots=True)
class Question:
    """A try of the task that asks a person, since when it has been seen waiting, and whether it was answered here."""

    try_number: int
    since: float
    is_answered: bool = False


@dataclass(slots=True)
class Progress:
    """What is known of a followed run so far: DAG -> its run, and (DAG, task) -> its state."""

    model: str
    runs: dict[str, DagRun]
    """Begins with the run that was triggered."""
    tasks: dict[tuple[str, str], TaskRun] = field(default_factory=dict)
    started_at: float = field(default_factory=time.monotonic)
    ended_after_s: float | None = None
    """Seconds from the start to the end of the chain; None while it goes on."""
    approve: str | None = None
    """The reason to approve the version with as soon as that is asked; None leaves it to a person."""
    asked: Question | None = None
    question: str = ""
    """The page on which a person is asked now."""
    champion: int | None = None
    """The version that was approved and made champion."""
    last: str = "cxr_report"
    """The DAG that the chain is followed to."""
    ended: dict[str, float] = field(default_factory=dict)
    """DAG -> when its run was seen to have ended well."""
    path: frozenset[str] = frozenset()
    """Ids of runs to follow where a run led to several, such as one that was cleared and handed on something else."""
    outage: str = ""
    """What is to be said while Airflow does not answer."""

    @property
    def chain(self) -> dict[str, tuple[str, ...]]:
        """The DAGs that a recipe of this model runs through, each with its tasks."""
        return CHAINS[self.model]

    @property
    def refused(self) -> bool:
        """The model goes no further: its gate did not pass it, or a person rejected it. The run is green."""
        proposed, settled = self.task("cxr_train_", "propose"), self.task(approval.DAG_ID, "settle")
        is_rejected = settled is not None and settled.state == "success" and self.champion is None
        return is_rejected or (proposed is not None and proposed.state == "skipped")

    @property
    def superseded(self) -> bool:
        """Another version had become champion before this one's release began."""
        published = self.task("cxr_release", "publish")
        return published is not None and published.state == "skipped"

    def task(self, dag_prefix: str, task_id: str) -> TaskRun | None:
        """A task of the chain's DAG whose name begins so, such as ``cxr_train_`` of any family; None before it is."""
        dag_id = next((name for name in self.chain if name.startswith(dag_prefix)), "")
        return self.tasks.get((dag_id, task_id))

    def stages(self) -> list[Stage]:
        """All tasks of the chain in order; chains of two models have the same, place by place."""
        family = self.model.removeprefix("cxr_")
        return [
            Stage(dag_id, task_id, f"{dag_id.removeprefix('cxr_').removesuffix(f'_{family}')}.{task_id}")
            for dag_id, names in self.chain.items()
            for task_id in names
        ]

    def seconds_per_stage(self) -> dict[str, float]:
        """Label of a stage -> run time of its last try."""
        return {
            stage.label: round(task.seconds, 1)
            for stage in self.stages()
            if (task := self.tasks.get(stage.key)) is not None and task.seconds is not None
        }


def triggered(model: str, run: DagRun, approve: str | None = None) -> Progress:
    """What is known of a chain whose first DAG has just been triggered, or of one taken up at a later DAG."""
    return Progress(model=model, runs={run.dag_id: run}, approve=approve)
