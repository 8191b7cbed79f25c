"""Which parts of a graph ask for XLA compilation, which the server refuses as ``tensorflow_model_server`` does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def functions_if_compiled(graph_def: Any) -> dict[str, Any]:
    """The functions of a ``GraphDef`` by name; empty where none of them is compiled, which is nearly always."""
    functions = {function.signature.name: function for function in graph_def.library.function}
    return functions if any(_compiled(function) for function in functions.values()) else {}


def must_compile(output: Any, functions: dict[str, Any]) -> str | None:
    """The name of a node that ``output`` (a ``tf.Operation``) needs and that is compiled with ``jit_compile=True``.

    Looks through the functions that nodes call, to any depth; None where there is no such node.
    """
    waiting, met = [output], {output.name}
    called: list[str] = []
    while waiting:
        op = waiting.pop()
        names = list(_called(op.node_def.attr.values()))
        if any(_compiled(functions.get(name)) for name in names):
            return op.name
        called += names
        for needed in [*(tensor.op for tensor in op.inputs), *op.control_inputs]:
            if needed.name not in met:
                met.add(needed.name)
                waiting.append(needed)
    return _in_functions(called, functions)


def _in_functions(called: list[str], functions: dict[str, Any]) -> str | None:
    met: set[str] = set()
    while called:
        name = called.pop()
        if name in met or name not in functions:
            continue
        met.add(name)
        for node in functions[name].node_def:
            names = list(_called(node.attr.values()))
            if any(_compiled(functions.get(name)) for name in names):
                return str(node.name)
            called += names
    return None


def _called(attributes: Iterable[Any]) -> Iterable[str]:
    for value in attributes:
        if value.HasField("func"):
            yield value.func.name
        for function in value.list.func:
            yield function.name


def _compiled(function: Any) -> bool:
    return function is not None and "_XlaMustCompile" in function.attr and function.attr["_XlaMustCompile"].b
