"""JSON as the REST API reads and shows it: lenient where TensorFlow Serving is, and refused in its words."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from serving.server.status import StatusError

# What Python's parser says -> what RapidJSON says (the latter is what clients of the server see).
_WORDS = {
    "Expecting property name": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting value": "Invalid value.",
    "Invalid control character": "Invalid encoding in string.",
    "Unterminated string": "Missing a closing quotation mark in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[-+.0-9eE]+|[\[\]{}]', re.DOTALL)


class _TooBig(Exception):
    """A number that no double holds."""


def parse(body: bytes) -> Any:
    """The value at the start of ``body``; what follows it is not looked at. Of a repeated key the first value counts.

    Bytes that are not UTF-8 stay in the strings as surrogates, so that ``to_bytes`` gives them back.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` with the fault and its offset in bytes.
    """
    text = body.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    start = len(text) - len(text.lstrip(" \t\r\n"))
    if start == len(text):
        raise _refused("The document is empty")
    try:
        value, _ = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise _translated(text, error) from error
    except _TooBig as error:
        raise _refused("Number too big to be stored in double.", text, _first_too_big(text)) from error
    except RecursionError as error:
        raise _refused("The document is nested too deep.") from error
    if "\\u" in text and (lone := _first_lone_surrogate(text)) is not None:
        raise _refused("The surrogate pair in string is invalid.", text, lone)
    return value


def to_bytes(text: str) -> bytes:
    """The bytes of a string that ``parse`` gave."""
    return text.encode("utf-8", "surrogateescape")


def pretty(value: Any, level: int = 0) -> str:
    """``value`` as error texts show it: objects over several lines, arrays on one."""
    if isinstance(value, dict) and value:
        inner = ",\n".join(
            f"{'    ' * (level + 1)}{pretty(key)}: {pretty(one, level + 1)}" for key, one in value.items()
        )
        return f"{{\n{inner}\n{'    ' * level}}}"
    if isinstance(value, list):
        return "[" + ", ".join(pretty(one, level + 1) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def type_name(value: Any) -> str:
    """RapidJSON's word for the type of ``value``."""
    if isinstance(value, bool):
        return "True" if value else "False"
    kinds = ((dict, "Object"), (list, "Array"), (str, "String"), (type(None), "Null"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "Number")


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs)) if len({key for key, _ in pairs}) < len(pairs) else dict(pairs)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _TooBig
    return value


def _int(text: str) -> int:
    # Beyond 400 digits no double holds it; far longer ones would cost time to parse.
    if len(text) > 400:
        raise _TooBig
    return int(text)


_DECODER = json.JSONDecoder(object_pairs_hook=_first_wins, parse_float=_float, parse_int=_int)


def _refused(fault: str, text: str = "", position: int | None = None) -> StatusError:
    at = "" if position is None else f" at offset: {len(to_bytes(text[:position]))}"
    return StatusError("INVALID_ARGUMENT", f"JSON Parse error: {fault}{at}")


def _translated(text: str, error: json.JSONDecodeError) -> StatusError:
    position = error.pos
    if error.msg.startswith("Illegal trailing comma"):
        position += 1 + len(text[position + 1 :]) - len(text[position + 1 :].lstrip())
    if error.msg.startswith("Expecting ',' delimiter"):
        in_array = _innermost(text[:position]) == "["
        fault = (
            "Missing a comma or ']' after an array element."
            if in_array
            else "Missing a comma or '}' after an object member."
        )
    else:
        fault = next((words for start, words in _WORDS.items() if error.msg.startswith(start)), error.msg)
    return _refused(fault, text, position)


def _innermost(text: str) -> str:
    """The bracket that is open at the end of ``text``."""
    open_brackets: list[str] = []
    for token in _TOKEN.findall(text):
        if token in {"[", "{"}:
            open_brackets.append(token)
        elif token in {"]", "}"} and open_brackets:
            open_brackets.pop()
    return open_brackets[-1] if open_brackets else ""


def _first_too_big(text: str) -> int | None:
    for found in _TOKEN.finditer(text):
        if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", found.group()) and math.isinf(float(found.group())):
            return found.start()
    return None


def _first_lone_surrogate(text: str) -> int | None:
    for string in _TOKEN.finditer(text):
        if string.group().startswith('"') and (found := _lone_in(string.group())) is not None:
            return string.start() + found
    return None


def _lone_in(string: str) -> int | None:
    at = 0
    while (at := string.find("\\", at)) >= 0:
        unit = _unit(string, at)
        if unit is None:
            at += 2
        elif 0xD800 <= unit < 0xDC00 and 0xDC00 <= (_unit(string, at + 6) or 0) < 0xE000:
            at += 12
        elif 0xD800 <= unit < 0xE000:
            return at
        else:
            at += 6
    return None


def _unit(string: str, at: int) -> int | None:
    return int(string[at + 2 : at + 6], 16) if string[at : at + 2] == "\\u" else None
