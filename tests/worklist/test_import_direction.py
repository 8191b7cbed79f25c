"""Who imports whom: the command line stands on top, and nothing below it looks up."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def imported_by(path: Path) -> set[str]:
    """Full names of all modules that a file imports, within functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return found


def looks_up(folder: str, above: tuple[str, ...], *, but: str = "") -> dict[str, list[str]]:
    """File -> what it imports of ``above``, for all files below ``folder`` but those below ``but``."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        if but and path.is_relative_to(ROOT / but):
            continue
        up = sorted(
            one for one in imported_by(path) if any(one == name or one.startswith(f"{name}.") for name in above)
        )
        if up:
            found[str(path.relative_to(ROOT))] = up
    return found


@pytest.mark.parametrize("folder", ["cxr_tasks", "serving", "expectations"])
def test_nothing_below_imports_the_command_line(folder):
    assert looks_up(folder, ("cxr_tasks.cli",), but="cxr_tasks/cli") == {}


@pytest.mark.parametrize("folder", ["cxr_tasks", "serving", "expectations"])
def test_nothing_below_the_dags_imports_them_or_airflow(folder):
    # That file is Airflow's scheduler, started with libraries that its tasks then share.
    found = looks_up(folder, ("airflow", "dag_defaults", "dag_rules", "work_off"), but="cxr_tasks/stack/scheduler.py")
    assert found == {}


def test_the_list_stands_on_settings_and_contracts():
    known = (
        "cxr_tasks.contracts",
        "cxr_tasks.notices",
        "cxr_tasks.stack.settings",
        "cxr_tasks.stack.logins",
        "cxr_tasks.worklist",
    )
    for path in (ROOT / "cxr_tasks" / "worklist").glob("*.py"):
        own = {one for one in imported_by(path) if one.startswith(("cxr_tasks.", "serving"))}
        assert {one for one in own if not one.startswith(known)} == set(), path.name


def test_an_import_that_looks_up_would_be_found():
    assert "cxr_tasks.cli" in "".join(looks_up("cxr_tasks/cli", ("cxr_tasks.cli",)).get("cxr_tasks/cli/main.py", []))
