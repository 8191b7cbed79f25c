"""``tf.train.Example``s from JSON, for the REST calls classify and regress."""

from __future__ import annotations

from typing import Any

from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import input_pb2

from serving.server.rest.json_shown import pretty, type_name
from serving.server.rest.json_values import B64, string_bytes
from serving.server.status import StatusError


def fill_examples(document: dict[str, Any], method: str, examples: input_pb2.Input) -> None:
    """Fills ``examples`` from the keys ``examples`` and ``context`` of ``document``.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` where they are missing or make no features.
    """
    context = None
    if "context" in document:
        context = example_pb2.Example()
        _fill_example(document["context"], context)
    if "examples" not in document:
        raise _shown(document, f"When method is {method}, key 'examples' is expected and was not found")
    listed = document["examples"]
    if not isinstance(listed, list):
        raise _shown(document, "Expecting 'examples' value to be an list/array")
    if not listed:
        raise _shown(document, "'examples' value is an empty array")
    if context is None:
        into = examples.example_list.examples
    else:
        examples.example_list_with_context.context.CopyFrom(context)
        into = examples.example_list_with_context.examples
    for example in listed:
        _fill_example(example, into.add())


def _fill_example(value: Any, example: example_pb2.Example) -> None:
    if not isinstance(value, dict):
        raise _bad(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, held in value.items():
        feature = example.features.feature[name]
        elements = held if isinstance(held, list) else [held]
        if not elements:
            continue
        kind = _kind(name, elements[0])
        if any(_kind(name, element) != kind for element in elements):
            raise _bad(f"Unexpected element type in feature: {name} expecting type: {kind}")
        if kind == "float":
            feature.float_list.value.extend(elements)
        elif kind == "int64":
            feature.int64_list.value.extend(int(element) for element in elements)
        else:
            feature.bytes_list.value.extend(string_bytes(element) for element in elements)


def _kind(name: str, value: Any) -> str:
    """The kind of feature that ``value`` belongs in; truth values are integers."""
    if isinstance(value, int):
        if -(2**63) <= value < 2**63:
            return "int64"
        raise _bad(f"Feature: {name} has an integer that 64 bits do not hold")
    if isinstance(value, float):
        return "float"
    if isinstance(value, str) or (isinstance(value, dict) and value.keys() == {B64} and isinstance(value[B64], str)):
        return "string"
    raise _bad(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")


def _bad(message: str) -> StatusError:
    return StatusError("INVALID_ARGUMENT", message)


def _shown(document: Any, message: str) -> StatusError:
    return _bad(f"JSON Value: {pretty(document)} {message}")
