"""What messages tell a person to run, set or change exists: commands and their options, make targets, variables."""

from __future__ import annotations

import argparse
import ast
import functools
import re
from pathlib import Path

import pytest

from cxr_tasks.cli.main import build_parser
from cxr_tasks.contracts.recipes import recipe_names
from cxr_tasks.stack.programs import BY_NAME

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("cxr_tasks", "serving", "dags", "expectations")
#: Stands for whatever a message fills in.
VALUE = "1"


def said(node: ast.AST) -> str | None:
    """The words of a string, with ``VALUE`` for what is filled in; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(said(one) or VALUE for one in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = said(node.left), said(node.right)
        return None if None in parts else "".join(one or "" for one in parts)
    return None


@functools.cache
def advice() -> tuple[str, ...]:
    """Every string of the platform, docstrings included."""
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found += [text for node in ast.walk(ast.parse(path.read_text("utf-8"))) if (text := said(node))]
    return tuple(found)


@functools.cache
def commands() -> dict[str, argparse.ArgumentParser]:
    """``cxr``'s commands; those of ``cxr datasets`` as ``datasets list`` and so on."""

    def below(parser: argparse.ArgumentParser, name: str) -> dict[str, argparse.ArgumentParser]:
        found = {name: parser} if name else {}
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for one, made in action.choices.items():
                    found |= below(made, f"{name} {one}".strip())
        return found

    return below(build_parser(), "")


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def wrong_in(text: str) -> list[str]:
    """The ``cxr`` commands in quotes that are none, or have an option that is none."""
    wrong = []
    for line in re.findall(r"['`]cxr ([^'`]+)['`]", text):
        words = line.split()
        name = " ".join(words[:2]) if " ".join(words[:2]) in commands() else words[0]
        is_group = any(one.startswith(f"{name} ") for one in commands())
        if name not in commands() or (is_group and len(words) > 1):
            wrong.append(f"cxr {line}")
        else:
            unknown = {one for one in words if one.startswith("--")} - options_of(commands()[name])
            wrong += [f"cxr {line}: {one}" for one in sorted(unknown)]
    return wrong


def test_commands_and_their_options_exist():
    told = [text for text in advice() if re.search(r"['`]cxr \w", text)]
    assert len(told) > 40
    assert [one for text in told for one in wrong_in(text)] == []


@pytest.mark.parametrize("text", ["see 'cxr statuss'", "'cxr promote 1 1 --becos x'", "'cxr datasets purge 1'"])
def test_a_command_that_is_none_would_be_found(text):
    assert wrong_in(text)


def test_make_targets_and_programs_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    told = {one for text in advice() for one in re.findall(r"['`]make ([a-z]+)", text)}
    assert {"up", "down", "logs"} <= told <= targets
    named = {one for text in advice() for one in re.findall(r"NAME=([a-z][a-z-]*)", text)}
    assert "triggerer" in named
    assert named <= set(BY_NAME)


def test_variables_exist():
    """A variable that is told of is read somewhere: its name stands alone in a string of the code or the Makefile."""
    read = {text for text in advice() if re.fullmatch(r"CXR_[A-Z_]+", text)}
    by_family = {f"CXR_DATASET_{one}_CRON" for one in ("BINARY", "MULTILABEL", "FAMILY")}
    told = {one for text in advice() for one in re.findall(r"\bCXR_[A-Z_]*[A-Z]\b", text)}
    assert "CXR_APPROVERS" in told
    assert told - read - by_family == set()


def test_recipes_exist():
    told = {one for text in advice() for one in re.findall(r"['`]cxr trigger ([a-z][a-z0-9_]+)", text)}
    assert told <= set(recipe_names())
