"""Follow triggered runs from DAG to DAG until their reports stand, their models are refused, or a task fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from cxr_tasks.cli.following import approval
from cxr_tasks.cli.following.followed_run import Progress, Question
from cxr_tasks.contracts.errors import CxrError, ServiceUnavailable
from cxr_tasks.installation.storage.paths import home
from cxr_tasks.worklist.airflow_api import AirflowApi, DagRun, TaskRun
from cxr_tasks.worklist.airflow_calls import Refused
from cxr_tasks.worklist.store import Worklist

T = TypeVar("T")

POLL_S = 1.0
#: How long it may take until what follows a run has a run of its own, which may then wait for others to end.
NEXT_RUN_LIMIT_S = 900.0
#: How long Airflow may not answer: a restart takes a minute or two, a busy machine longer.
OUTAGE_LIMIT_S = 900.0
#: Airflow's scheduler (3.3.2) takes a task that is answered before it has heard that it waits for one whose process was
#: lost: it counts it as failed, forgets the answer and asks again.
ANSWER_AFTER_S = 5.0
#: States of a mapped task's instances, the one that tells most first; all others are states of waiting.
_TELLING = ("failed", "upstream_failed", "up_for_retry", "running", approval.WAITING)


class TaskFailed(CxrError):
    """A task of a followed run failed; the text names task, error and log."""


class NeverStarted(ServiceUnavailable):
    """What should follow a run did not begin in time."""


def release_of(worklist: Worklist, model: str, version: int, since: datetime) -> Progress:
    """The release that starts as a version becomes champion, to be followed to its end.

    Raises:
        NeverStarted: None starts in time.
    """
    end = time.monotonic() + NEXT_RUN_LIMIT_S
    while time.monotonic() < end:
        for release in worklist.listing(kind="release", model=model, version=version)[::-1]:
            # A release that was under way when the alias moved is the release of that move.
            if release.started_at is not None and (release.came_at >= since or not release.is_ended):
                run = DagRun(release.dag_id, release.run_id, "queued")
                return Progress(model=model, runs={run.dag_id: run}, champion=version, last=run.dag_id)
        time.sleep(POLL_S)
    raise NeverStarted(_never_started("cxr_release", "the change of champion"))


def follow(
    api: AirflowApi, worklist: Worklist, started: Sequence[Progress], show: Callable[[Sequence[Progress]], None]
) -> None:
    """Poll until every chain of ``started`` has ended well; ``show`` is called with all of them after each poll.

    An Airflow that does not answer is asked again for ``OUTAGE_LIMIT_S``; the runs go on meanwhile.

    Raises:
        TaskFailed: A task failed for good; its name, its error and its log's path are in the text. Other chains
            go on in Airflow, followed no longer.
        ServiceUnavailable: Airflow does not answer for too long, or does not start the next DAG in time.
    """
    outage = Outage()
    at_work = list(started)
    while at_work:
        try:
            at_work = [chain for chain in at_work if not _is_ended(api, worklist, chain)]
            outage.is_over(started)
        except NeverStarted:
            raise
        except ServiceUnavailable as error:
            outage.goes_on(started, error)
        finally:
            show(started)
        if at_work:
            time.sleep(POLL_S)


@dataclass(slots=True)
class Outage:
    """Since when Airflow has not answered."""

    since: float | None = None

    def is_over(self, followed: Sequence[Progress]) -> None:
        self.since = None
        for progress in followed:
            progress.outage = ""

    def goes_on(self, followed: Sequence[Progress], error: ServiceUnavailable) -> None:
        """Say so in each progress, or give up after ``OUTAGE_LIMIT_S``."""
        now = time.monotonic()
        self.since = now if self.since is None else self.since
        if now - self.since > OUTAGE_LIMIT_S:
            raise ServiceUnavailable(f"no answer for {now - self.since:.0f} s: {error}") from error
        for progress in followed:
            progress.outage = "Airflow does not answer; the run goes on, and it is asked again"


def patiently(call: Callable[[], T]) -> T:
    """What ``call`` gives, made again for ``OUTAGE_LIMIT_S`` where a service does not answer."""
    end = time.monotonic() + OUTAGE_LIMIT_S
    while True:
        try:
            return call()
        except ServiceUnavailable:
            if time.monotonic() > end:
                raise
            time.sleep(POLL_S)


def _is_ended(api: AirflowApi, worklist: Worklist, progress: Progress) -> bool:
    """One look at a chain's newest run, and whether the chain has ended."""
    dag_id = list(progress.runs)[-1]
    if dag_id not in progress.ended:
        if not _has_ended(api, progress, dag_id):
            return False
        progress.ended[dag_id] = time.monotonic()
    names = list(progress.chain)
    following = names[names.index(dag_id) + 1 :]
    if not following or progress.refused or progress.superseded or dag_id == progress.last:
        progress.ended_after_s = time.monotonic() - progress.started_at
        return True
    run = _next_run(worklist, progress, dag_id, following[0])
    if run is not None:
        progress.runs[run.dag_id] = run
    elif time.monotonic() - progress.ended[dag_id] > NEXT_RUN_LIMIT_S:
        raise NeverStarted(_never_started(following[0], f"the end of {dag_id}"))
    return False


def _has_ended(api: AirflowApi, progress: Progress, dag_id: str) -> bool:
    """Look at a run; whether it has ended well."""
    # The run first: tasks read after it ended are complete.
    run = api.run(dag_id, progress.runs[dag_id].run_id)
    progress.runs[dag_id] = run
    tasks = api.tasks(run)
    for task in combined(tasks):
        progress.tasks[dag_id, task.task_id] = task
    if dag_id == approval.DAG_ID:
        _follow_question(api, progress, tasks)
    if run.state == "failed":
        raise _failure(api, progress, dag_id)
    return run.state == "success"


def _next_run(worklist: Worklist, progress: Progress, dag_id: str, wanted: str) -> DagRun | None:
    """The run that a chain's newest run has led to, by the list: no other run of that DAG is followed."""
    request = worklist.of_run(dag_id, progress.runs[dag_id].run_id)
    followers = (
        [follower for follower in worklist.following(request.number) if follower.dag_id == wanted] if request else []
    )
    for follower in sorted(
        followers, key=lambda follower: (follower.run_id in progress.path, follower.number), reverse=True
    ):
        if follower.started_at is not None:
            return DagRun(follower.dag_id, follower.run_id, "queued")
        if follower.state == "failed":
            raise TaskFailed(f"request {follower.number}, {follower.kind} of {follower.subject}: {follower.outcome}")
    return None


def _never_started(dag_id: str, after: str) -> str:
    return (
        f"expected {dag_id} to start within {NEXT_RUN_LIMIT_S:.0f} s of {after}, found no run; "
        "is cxr_requests paused? Are scheduler and triggerer up ('make status')?"
    )


def _follow_question(api: AirflowApi, progress: Progress, tasks: list[TaskRun]) -> None:
    """Where a person is asked now, the answer where the caller gave one, and what became of it."""
    question = approval.instance_of(api, tasks, "approve", progress.model)
    is_asked = question is not None and question.state == approval.WAITING
    progress.question = approval.question_page(api.page, question) if question is not None and is_asked else ""
    if question is not None and is_asked and progress.approve is not None:
        _answer(api, progress, question, progress.approve)
    settled = progress.task(approval.DAG_ID, "settle")
    if settled is not None and settled.state == "success":
        progress.champion = approval.champion_made(api, tasks, progress.model)


def _answer(api: AirflowApi, progress: Progress, question: TaskRun, reason: str) -> None:
    """Approve, once for each time that is asked, when the question has stood for ``ANSWER_AFTER_S``."""
    asked = progress.asked
    if asked is None or asked.try_number != question.try_number:
        asked = progress.asked = Question(question.try_number, time.monotonic())
    if not asked.is_answered and time.monotonic() - asked.since >= ANSWER_AFTER_S:
        try:
            approval.approve(api, question, reason)
        except Refused as error:
            # Somebody was faster, or the answer to an earlier call was lost.
            if error.status != 409:
                raise
        asked.is_answered = True


def combined(tasks: list[TaskRun]) -> list[TaskRun]:
    """One entry per task: of a mapped task the instance that tells most, with the longest run time of all.

    That is a failed one if there is any, else one at work, else one that waits, else any.
    """
    mapped: dict[str, list[TaskRun]] = {}
    for task in tasks:
        mapped.setdefault(task.task_id, []).append(task)
    entries = []
    for instances in mapped.values():
        telling = min(instances, key=_telling_place)
        seconds = max((instance.seconds for instance in instances if instance.seconds is not None), default=None)
        n_done = sum(instance.state == "success" for instance in instances)
        entries.append(replace(telling, seconds=seconds, n_done=n_done, n_mapped=len(instances)))
    return entries


def _telling_place(task: TaskRun) -> int:
    if task.state in _TELLING:
        return _TELLING.index(task.state)
    return len(_TELLING) + (task.state == "success")


def _failure(api: AirflowApi, progress: Progress, dag_id: str) -> TaskFailed:
    failed = [task for (dag, _), task in progress.tasks.items() if dag == dag_id and task.state == "failed"]
    if not failed:
        return TaskFailed(
            f"{dag_id} {progress.runs[dag_id].run_id} failed, but none of its tasks did; see the Airflow UI"
        )
    task = failed[0]
    return TaskFailed(
        f"task {task.dag_id}.{task.task_id} failed at try {task.try_number}: {api.error_of(task)}\n"
        f"     log: {log_path(task)}"
    )


def log_path(task: TaskRun) -> Path:
    """Where Airflow wrote the log of a task's last try."""
    folder = home() / "airflow" / "logs" / f"dag_id={task.dag_id}" / f"run_id={task.run_id}" / f"task_id={task.task_id}"
    if task.map_index >= 0:
        folder = folder / f"map_index={task.map_index}"
    return folder / f"attempt={task.try_number}.log"
