"""`installation/storage` is the one door to files: how many other modules write, move or remove files by themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house.imports import ROOT, modules

DOOR = "cxr_tasks.installation.storage"
#: Modules outside the door that change files; to be lowered with each that goes through it, never raised.
MOST_WRITERS = 4
#: Draw pictures and plant faults (links, closed files, half tables) in a data folder of their own: that is input, which
#: an installation reads, and no storage of its.
PHANTOMS = "cxr_tasks.sources.phantoms"

#: Methods of paths, and functions of os, shutil and tempfile, that change what is on disk.
METHODS = {
    "write_text", "write_bytes", "unlink", "rename", "touch", "rmdir", "symlink_to", "hardlink_to", "chmod",
}  # fmt: skip
FUNCTIONS = {
    "os": {"replace", "rename", "remove", "unlink", "rmdir", "removedirs", "makedirs", "link", "symlink", "truncate"},
    "shutil": {"copy", "copy2", "copyfile", "copytree", "move", "rmtree"},
    "tempfile": {"mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory"},
}
MODE = re.compile(r"[rwxabt+]{1,3}")


#: Blocks of the door that give a place to fill: what is written there is published by it.
BLOCKS = {"replaced_file", "published_folder", "work_folder"}


def changes_of(text: str) -> Iterator[str]:
    """What in a module's text changes files, as it is called there; within a place that the door gave it may."""
    tree = ast.parse(text)
    given = {item.optional_vars.id for node in ast.walk(tree) for item in _given(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(_is_within(part, given) for part in (node.func, *node.args)):
            continue
        called = node.func
        if isinstance(called, ast.Attribute):
            owner = called.value.id if isinstance(called.value, ast.Name) else ""
            if called.attr in FUNCTIONS.get(owner, ()) or (owner not in FUNCTIONS and called.attr in METHODS):
                yield f"{owner or '...'}.{called.attr}"
            elif called.attr == "open" and _writes(node.args[:1], node):
                yield "...open"
        elif isinstance(called, ast.Name) and called.id == "open" and _writes(node.args[1:2], node):
            yield "open"


def _given(node: ast.AST) -> list[Any]:
    """The parts of a ``with`` that name what the door gave."""
    items = node.items if isinstance(node, ast.With) else []
    return [
        item for item in items if isinstance(item.optional_vars, ast.Name) and _name_of(item.context_expr) in BLOCKS
    ]


def _name_of(node: ast.expr) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def _is_within(node: ast.expr, given: set[str]) -> bool:
    """Whether a call or one of its arguments is about a place that the door gave, or something below it."""
    while isinstance(node, (ast.Attribute, ast.BinOp)):
        node = node.value if isinstance(node, ast.Attribute) else node.left
    return isinstance(node, ast.Name) and node.id in given


def _writes(mode: list[ast.expr], call: ast.Call) -> bool:
    """Whether a file is opened to be written: its mode is the argument ``mode``, or the one of that name."""
    given = [*mode, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    return any(isinstance(one, ast.Constant) and isinstance(one.value, str) and _is_writing(one.value) for one in given)


def _is_writing(mode: str) -> bool:
    return bool(MODE.fullmatch(mode)) and bool(set("wax+") & set(mode))


def writers(root: Path = ROOT) -> dict[str, list[str]]:
    """Module outside the door -> what it does to files by itself."""
    found = {
        name: sorted(set(changes_of((root / file).read_text(encoding="utf-8")))) for name, file in modules(root).items()
    }
    return {name: calls for name, calls in found.items() if calls and not name.startswith((DOOR, PHANTOMS))}


def test_no_more_modules_change_files_by_themselves():
    found = writers()
    listed = "\n".join(f"{name}: {', '.join(calls)}" for name, calls in found.items())
    assert len(found) <= MOST_WRITERS, (
        f"expected at most {MOST_WRITERS} modules outside {DOOR} that change files, found {len(found)}; write through "
        f"storage.files and storage.changes instead:\n{listed}"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("path.write_text('x')", ["path.write_text"]),
        ("open(path, 'wb')", ["open"]),
        ("open(path, mode='a')", ["open"]),
        ("path.open('w')", ["...open"]),
        ("shutil.rmtree(path)", ["shutil.rmtree"]),
        ("os.replace(a, b)", ["os.replace"]),
        ("(folder / 'x').unlink()", ["....unlink"]),
        ("open(path)", []),
        ("open(path, 'rb')", []),
        ("archive.open('weights')", []),
        ("'text'.replace('a', 'b')", []),
        ("write_text(path, 'x')", []),
        ("with replaced_file(path) as aside:\n    open(aside, 'wb')\n    aside.write_text('x')", []),
        ("with published_folder(path) as aside:\n    (aside / 'a').write_text('x')", []),
        ("with other(path) as aside:\n    aside.write_text('x')", ["aside.write_text"]),
    ],
)
def test_what_counts_as_changing_files(text, found):
    assert list(changes_of(text)) == found
