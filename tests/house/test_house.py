"""The house: stages are verbs with one door each, what they share are nouns; no circle, and nobody looks up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.house.imports import (
    ROOT,
    TOPS,
    as_rooms,
    as_units,
    circles,
    file_graph,
    imported_names,
    looks_up,
    modules,
)

#: From the ground up; a room uses rooms of lower floors only.
FLOORS = (
    ("contracts",),
    ("installation", "statistics"),
    ("images", "registry", "backup", "expectations"),
    ("predictions",),
    ("labels",),
    ("datasets", "sources", "worklist"),
    ("serving",),
    ("ingest", "validate", "prepare", "score", "stack"),
    ("train",),
    ("evaluate",),
    ("explain", "gate", "register", "reproduce"),
    ("report",),
    ("monitor",),
    ("feedback", "metrics", "prune"),
    ("cli",),
    ("dags",),
)
#: Folders with a verb: what the DAGs do, each by the function of its ``stage.py``.
STAGES = (
    "ingest",
    "validate",
    "prepare",
    "score",
    "train",
    "evaluate",
    "explain",
    "gate",
    "register",
    "reproduce",
    "report",
    "monitor",
    "feedback",
    "prune",
)
#: What ``contracts`` may import beside the standard library and itself.
ON_THE_GROUND = {"yaml"}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return file_graph()


def test_every_room_has_a_floor_and_every_floor_its_rooms(graph):
    rooms = set(as_rooms(graph)) - {"cxr_tasks"}
    assert rooms == {room for floor in FLOORS for room in floor}


def test_nobody_looks_up(graph):
    rooms = {room: used - {"cxr_tasks"} for room, used in as_rooms(graph).items() if room != "cxr_tasks"}
    assert looks_up(rooms, FLOORS) == []


def test_no_files_go_round_in_a_circle(graph):
    assert circles(graph) == []


@pytest.mark.parametrize("top", TOPS)
def test_no_files_and_folders_of_a_folder_go_round_in_a_circle(graph, top):
    folders = {str(parent) for file in graph for parent in Path(file).parents if str(parent).startswith(top)}
    found = {folder: circles(as_units(graph, folder)) for folder in sorted(folders)}
    assert {folder: groups for folder, groups in found.items() if groups} == {}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_one_door(stage):
    assert (ROOT / "cxr_tasks" / stage / "stage.py").is_file()


def test_the_ground_stands_on_the_standard_library():
    allowed = sys.stdlib_module_names | ON_THE_GROUND | {"cxr_tasks"}
    used = {
        f"{file.name} imports {name.partition('.')[0]}"
        for file in modules().values()
        if file.parts[:2] == ("cxr_tasks", "contracts")
        for name in imported_names(ROOT / file)
        if name.partition(".")[0] not in allowed
    }
    assert used == set()


def test_only_airflow_s_own_process_and_the_dags_import_airflow():
    helpers = {file.stem for file in modules().values() if file.parts[0] == "dags"}
    users = {
        f"{file} imports {name}"
        for file in modules().values()
        if file.parts[0] != "dags"
        for name in imported_names(ROOT / file)
        if name.partition(".")[0] in {"airflow", *helpers}
    }
    # Airflow's scheduler, started with libraries that its tasks then share; its logins, and who is made to have one.
    own = tuple(
        f"cxr_tasks/stack/servers/{name}.py imports airflow" for name in ("scheduler", "fab_logins", "fab_people")
    )
    assert {one for one in users if not one.startswith(own)} == set()


def test_what_would_be_wrong_is_found(tmp_path):
    for name, text in {
        "cxr_tasks/contracts/a.py": "def f():\n    from cxr_tasks.train import b",
        "cxr_tasks/train/b.py": "from cxr_tasks.contracts.a import f",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    graph = file_graph(tmp_path)
    assert circles(graph) == [["cxr_tasks/contracts/a.py", "cxr_tasks/train/b.py"]]
    assert circles(as_units(graph, "cxr_tasks")) == [["cxr_tasks/contracts", "cxr_tasks/train"]]
    assert looks_up(as_rooms(graph), FLOORS) == ["contracts -> train"]
