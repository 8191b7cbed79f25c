"""The READMEs: short, linked, and true of commands, folders, DAGs and the picture."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.cli.test_advice import commands, options_of
from tests.house import picture
from tests.house.imports import ROOT
from tests.house.test_house import FLOORS

PAGES = tuple(
    path.relative_to(ROOT)
    for path in (
        *sorted(ROOT.glob("*.md")),
        *(
            page
            for top in ("cxr_tasks", "serving", "dags", "expectations", "tests")
            for page in (ROOT / top).rglob("*.md")
        ),
    )
    if path.name != "CHANGELOG.md"
)


@cache
def text_of(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_the_readme_is_short():
    assert len(text_of(Path("README.md")).split()) <= 1000


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", text_of(page)):
        if target and "://" not in target:
            assert (ROOT / page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_anchors_are_headings(page):
    for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", text_of(page)):
        if "://" in target:
            continue
        headings = re.findall(r"^#+ (.+)$", text_of((page.parent / target) if target else page), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}


def test_every_page_is_reached_from_the_first():
    reached, left = set(), [Path("README.md")]
    while left:
        page = left.pop()
        if page in reached or not (ROOT / page).is_file():
            continue
        reached.add(page)
        targets = re.findall(r"\]\(([^)#]*\.md)(?:#[^)]*)?\)", text_of(page))
        left += [(ROOT / page.parent / target).resolve().relative_to(ROOT) for target in targets if "://" not in target]
    assert {page for page in PAGES if page.name == "README.md"} - reached == set()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_exist_with_their_options(page):
    for line in re.findall(r"(?:^|`|\s)(?:\.venv/bin/)?cxr ([a-z][^`#\n]*)", text_of(page)):
        words = line.split()
        name = " ".join(words[:2]) if " ".join(words[:2]) in commands() else words[0]
        if name in ("command", "doctor"):  # "the cxr command"
            continue
        assert name in commands(), line
        assert {one for one in words if re.match(r"--[a-z]", one)} <= options_of(commands()[name]), line


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", text_of(Path("Makefile")), re.MULTILINE))
    for line in re.findall(r"(?:^    |`)make ((?:[A-Z]+=\S+ )*)([a-z]+)", text_of(page), re.MULTILINE):
        assert line[1] in targets, line


def test_the_map_names_every_room():
    table = text_of(Path("cxr_tasks/README.md"))
    rooms = {room for floor in FLOORS for room in floor}
    assert {room for room in rooms if f"`{room}`" not in table and f"`{room}/`" not in table} == set()


def test_the_picture_is_of_today():
    assert picture.PATH.read_text(encoding="utf-8") == picture.draw(), "python -m tests.house.picture writes it anew"
    for dag, steps in picture.WAY.items():
        (module,) = (ROOT / "dags").glob(f"{dag.removesuffix('_*')}.py")
        assert module.is_file()
        for step in steps:
            assert (ROOT / step.folder).is_dir(), step
