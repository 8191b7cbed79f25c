"""The imports of the product's own code, read from its text: which module uses which, by file and by folder."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOPS = ("cxr_tasks", "serving", "expectations", "dags")

Graph = Mapping[str, set[str]]


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Full name of each module -> its file, relative to ``root``; a package's is that of its ``__init__.py``."""
    files = (path.relative_to(root) for top in TOPS for path in sorted((root / top).rglob("*.py")))
    return {".".join(file.with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imported_names(path: Path) -> set[str]:
    """Full names of all that a file imports, within functions too; of ``from a import b``, ``a`` and ``a.b``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def file_graph(root: Path = ROOT) -> dict[str, set[str]]:
    """File -> the files of this project that it imports, as paths below ``root``."""
    known = modules(root)
    # The helpers of the DAGs are imported by their bare names, as Airflow puts the folder on the path.
    bare = {name.rpartition(".")[2]: name for name in known if name.startswith("dags.")}
    graph = {}
    for file in known.values():
        names = {bare.get(name, name) if file.parts[0] == "dags" else name for name in imported_names(root / file)}
        # Of a package only what is imported from it counts: its __init__.py holds next to nothing.
        used = {known[name] for name in names if name in known and known[name].name != "__init__.py"}
        graph[str(file)] = {str(one) for one in used if one != file}
    return graph


def room_of(file: str) -> str:
    """The room of the house that a file is in: a folder of ``cxr_tasks``, or another top folder."""
    parts = Path(file).parts
    return parts[1] if parts[0] == "cxr_tasks" and len(parts) > 2 else parts[0]


def as_units(graph: Graph, folder: str) -> dict[str, set[str]]:
    """The graph among what lies directly in ``folder``: its files, and its folders with all that is below them."""
    depth = len(Path(folder).parts)

    def unit(file: str) -> str | None:
        parts = Path(file).parts
        return "/".join(parts[: depth + 1]) if parts[:depth] == Path(folder).parts else None

    units: dict[str, set[str]] = {}
    for file, used in graph.items():
        if (name := unit(file)) is not None:
            units.setdefault(name, set()).update(one for one in map(unit, used) if one not in (None, name))  # type: ignore[misc]
    return units


def as_rooms(graph: Graph) -> dict[str, set[str]]:
    """Room -> the rooms that it uses."""
    rooms: dict[str, set[str]] = {}
    for file, used in graph.items():
        rooms.setdefault(room_of(file), set()).update({room_of(one) for one in used} - {room_of(file)})
    return rooms


def circles(graph: Graph) -> list[list[str]]:
    """Groups of nodes each of which leads to all others of its group (Tarjan 1972), of two nodes and more."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return found


def looks_up(rooms: Graph, floors: Iterable[tuple[str, ...]]) -> list[str]:
    """``a -> b`` for each room that uses one of its own floor or of one above, of ``floors`` from the ground up."""
    floor = {room: height for height, rooms_there in enumerate(floors) for room in rooms_there}
    return sorted(f"{room} -> {other}" for room, used in rooms.items() for other in used if floor[other] >= floor[room])
