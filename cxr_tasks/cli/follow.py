"""Follow triggered runs from DAG to DAG until their reports stand, their models are refused, or a task fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cxr_tasks.cli import approval
from cxr_tasks.cli.airflow_api import AirflowApi, DagRun, TaskRun
from cxr_tasks.cli.progress import Progress, Question
from cxr_tasks.contracts.errors import CxrError, ServiceUnavailable
from cxr_tasks.contracts.paths import home

POLL_S = 1.0
#: How long the scheduler may take to start the next DAG after an Asset event: a release or report of the other family,
#: of which one runs at a time, may have to end first.
NEXT_RUN_LIMIT_S = 900.0
#: Airflow's scheduler (3.3.2) takes a task that is answered before it has heard that it waits for one whose process was
#: lost: it counts it as failed, forgets the answer and asks again.
ANSWER_AFTER_S = 5.0
TERMINAL = {"success", "failed", "skipped", "upstream_failed", "removed"}
#: States of a mapped task's instances, the one that tells most first; all others are states of waiting.
_TELLING = ("failed", "upstream_failed", "up_for_retry", "running", approval.WAITING)


class TaskFailed(CxrError):
    """A task of a followed run failed; the text names task, error and log."""


def release_of(api: AirflowApi, model: str, version: int, since: datetime) -> Progress:
    """The release that starts as a version becomes champion, to be followed to its end.

    Raises:
        ServiceUnavailable: None starts in time.
    """
    end = time.monotonic() + NEXT_RUN_LIMIT_S
    while time.monotonic() < end:
        for run in api.champion_releases(model, version, since):
            return Progress(model=model, runs={run.dag_id: run}, champion=version, last=run.dag_id)
        time.sleep(POLL_S)
    raise ServiceUnavailable(
        f"expected cxr_release to start within {NEXT_RUN_LIMIT_S:.0f} s of the change of champion, found no run; "
        "is it paused? Are scheduler and triggerer up ('make status')?"
    )


def follow(api: AirflowApi, started: Sequence[Progress], show: Callable[[Sequence[Progress]], None]) -> None:
    """Poll until every chain of ``started`` has ended well; ``show`` is called with all of them after each poll.

    Raises:
        TaskFailed: A task failed for good; its name, its error and its log's path are in the text. Other chains
            go on in Airflow, followed no longer.
        ServiceUnavailable: Airflow stops answering, or does not start the next DAG in time.
    """
    at_work = [(one, _steps(api, one)) for one in started]
    while at_work:
        try:
            at_work = [(one, steps) for one, steps in at_work if not _is_ended(one, steps)]
        finally:
            show(started)
        if at_work:
            time.sleep(POLL_S)


def _is_ended(progress: Progress, steps: Iterator[None]) -> bool:
    for _ in steps:
        return False
    progress.ended_after_s = time.monotonic() - progress.started_at
    return True


def _steps(api: AirflowApi, progress: Progress) -> Iterator[None]:
    """Follow one chain; each step is one poll, and the last has seen its end."""
    names = list(progress.chain)
    (dag_id,) = progress.runs
    yield from _follow_run(api, progress, dag_id)
    for following in names[names.index(dag_id) + 1 :]:
        if progress.refused or dag_id == progress.last:
            return
        yield from _await_run(api, progress, dag_id, following)
        yield from _follow_run(api, progress, following)
        dag_id = following


def _follow_run(api: AirflowApi, progress: Progress, dag_id: str) -> Iterator[None]:
    while True:
        # The run first: tasks read after it ended are complete.
        run = api.run(dag_id, progress.runs[dag_id].run_id)
        progress.runs[dag_id] = run
        tasks = api.tasks(run)
        for task in combined(tasks):
            progress.tasks[dag_id, task.task_id] = task
        if dag_id == approval.DAG_ID:
            _follow_question(api, progress, tasks)
        if run.state == "success":
            return
        if run.state == "failed":
            raise _failure(api, progress, dag_id)
        yield


def _follow_question(api: AirflowApi, progress: Progress, tasks: list[TaskRun]) -> None:
    """Where a person is asked now, the answer where the caller gave one, and what became of it."""
    question = approval.instance_of(api, tasks, "approve", progress.model)
    is_asked = question is not None and question.state == approval.WAITING
    progress.question = approval.question_page(api.url, question) if question is not None and is_asked else ""
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
        approval.approve(api, question, reason)
        asked.is_answered = True


def _started(api: AirflowApi, progress: Progress, dag_id: str) -> list[DagRun]:
    """The runs that a chain's DAG has started so far; a release starts as the alias moves, whoever moved it."""
    if dag_id == approval.DAG_ID and progress.champion is not None:
        return api.champion_releases(progress.model, progress.champion, progress.began)
    return api.runs_started_by(progress.runs[dag_id], progress.model)


def _await_run(api: AirflowApi, progress: Progress, dag_id: str, wanted: str) -> Iterator[None]:
    end = time.monotonic() + NEXT_RUN_LIMIT_S
    while time.monotonic() < end:
        for run in _started(api, progress, dag_id):
            if run.dag_id == wanted:
                progress.runs[wanted] = run
                return
        yield
    raise ServiceUnavailable(
        f"expected {wanted} to start within {NEXT_RUN_LIMIT_S:.0f} s of the end of {dag_id}, found no run; "
        "is it paused? Are scheduler and triggerer up ('make status')?"
    )


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
        seconds = max((one.seconds for one in instances if one.seconds is not None), default=None)
        n_done = sum(one.state == "success" for one in instances)
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
