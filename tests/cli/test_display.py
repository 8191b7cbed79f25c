from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from cxr_tasks.cli.following import display
from cxr_tasks.cli.following.display import LinePrinter, progress_table
from cxr_tasks.cli.following.followed_run import CHAINS, triggered
from cxr_tasks.worklist.airflow_api import DagRun, TaskRun


def followed(model: str, **states: str):
    """A chain whose tasks ``<dag>__<task>`` have these states, each after 2 s of its first try."""
    family = model.removeprefix("cxr_")
    progress = triggered(model, DagRun(next(iter(CHAINS[model])), "manual__1", "running"))
    for name, state in states.items():
        dag, task_id = name.split("__")
        dag_id = f"cxr_{dag}" if dag in ("promote", "release", "report") else f"cxr_{dag}_{family}"
        progress.tasks[dag_id, task_id] = TaskRun(dag_id, "run", task_id, state, 1, 2.0)
    return progress


def shown(printable, width: int = 120) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(printable)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_both_chains_stand_side_by_side():
    lines = shown(progress_table([followed("cxr_binary", train__gate="success"), followed("cxr_multilabel")]))
    assert lines[1].split() == ["cxr_binary", "cxr_multilabel"]
    assert next(one for one in lines if "train.gate" in one).split() == ["train.gate", "done", "2.0", "s"]
    assert sum("." in one.split(" ")[0] for one in lines) == sum(len(tasks) for tasks in CHAINS["cxr_binary"].values())


def test_who_is_waited_for_and_where_is_said_once(epochs, capsys):
    printer, binary = LinePrinter(Console(width=200)), followed("cxr_binary", promote__approve="awaiting_input")
    binary.question = "http://127.0.0.1:8080/dags/cxr_promote/runs/r/tasks/approve/mapped/0/required_actions"
    printer.show([binary])
    printer.show([binary])
    assert [one.split(" s  ", maxsplit=1)[1] for one in capsys.readouterr().out.splitlines()] == [
        "cxr_binary  promote.approve: waits for a person",
        f"cxr_binary  waiting for approval: {binary.question}",
    ]


def test_a_table_of_both_fits_a_terminal_of_80_columns():
    tasks = {f"train__{one}": "up_for_retry" for one in CHAINS["cxr_binary"]["cxr_train_binary"]}
    both = [followed(model, **tasks) for model in ("cxr_binary", "cxr_multilabel")]
    for one in both:
        one.tasks = {key: dataclasses.replace(task, try_number=2) for key, task in one.tasks.items()}
    lines = shown(progress_table(both), width=80)
    assert sum("retry soon  2.0 s  try 2" in one for one in lines) == len(tasks)
    assert not any("…" in one for one in lines)


@pytest.fixture
def epochs(monkeypatch):
    """What MLflow says of an experiment's newest epoch."""
    lines = {"cxr_binary": "", "cxr_multilabel": ""}
    monkeypatch.setattr(display, "_newest_epoch", lambda experiment, dag_run_id: lines[experiment])
    monkeypatch.setattr(display.EpochWatcher, "EVERY_S", 0.0)
    return lines


def test_each_change_is_one_line(epochs, capsys):
    printer = LinePrinter(Console(width=200))
    binary = followed("cxr_binary", dataset__collect="running")
    printer.show([binary, followed("cxr_multilabel", dataset__collect="queued")])
    printer.show([binary, followed("cxr_multilabel", dataset__collect="queued")])
    binary.tasks = followed("cxr_binary", dataset__collect="success", train__train="running").tasks
    epochs["cxr_binary"] = "epoch 1/18  val_auroc 0.7"
    printer.show([binary])
    printer.show([binary])
    lines = [one.split(" s  ", maxsplit=1)[1] for one in capsys.readouterr().out.splitlines()]
    assert lines == [
        "cxr_binary  dataset.collect: running",
        "cxr_binary  dataset.collect: done  2.0 s",
        "cxr_binary  train.train: running",
        "cxr_binary  epoch: epoch 1/18  val_auroc 0.7",
    ]
