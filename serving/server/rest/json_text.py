"""JSON as the REST API reads and shows it: lenient where TensorFlow Serving is, and refused in its words."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

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
#: Up to this size refusals have the real server's words and offsets.
EXACT_BYTES = 64 << 10
#: Three bytes can be a list, which takes sixty in memory.
MOST_LISTS = 1 << 21
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[-+.0-9eE]+|[\[\]{}]', re.DOTALL)


class _TooBig(Exception):
    """A number that no double holds."""


def parse(body: bytes | bytearray) -> Any:
    """The value at the start of ``body``; what follows it is not looked at. Of a repeated key the first value counts.

    Bytes that are not UTF-8 stay in the strings as surrogates, so that ``to_bytes`` gives them back.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` with the fault and its offset in bytes.
    """
    if body.count(b"[") + body.count(b"{") > MOST_LISTS:
        raise _refused(f"The document has more than {MOST_LISTS} lists and objects.")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("depth limit"):
            raise _refused("The document is nested too deep.") from error
        if len(body) > EXACT_BYTES and not _is_lenient_case(body, error):
            # The words and offsets of the real server cost seconds here.
            raise _refused(f"{error.msg[:100]} at character: {error.pos}") from error
        return _parse_anew(body)
    # Each member has a colon, so where there are no more colons than members no key came twice.
    if body.count(b":") > _n_members(value, body.count(b":")):
        return _parse_anew(body)
    return value


def _parse_anew(body: bytes | bytearray) -> Any:
    return _parse_exactly(body) if len(body) <= EXACT_BYTES else _parse_leniently(body)


def _parse_leniently(body: bytes | bytearray) -> Any:
    """As ``parse`` for a large document, with less to say where it is refused."""
    text = body.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    try:
        return _LENIENT.raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))[0]
    except json.JSONDecodeError as error:
        raise _refused(f"{error.msg[:100]} at character: {error.pos}") from error
    except _TooBig as error:
        raise _refused("Number too big to be stored in double.") from error
    except RecursionError as error:
        raise _refused("The document is nested too deep.") from error


def _is_lenient_case(body: bytes | bytearray, error: orjson.JSONDecodeError) -> bool:
    """Whether the real server may not mind the fault: text after the value, NaN, Infinity, no UTF-8."""
    if error.msg.startswith(("unexpected content after document", "str is not valid UTF-8")):
        return True
    return str(error.doc).startswith(("NaN", "Infinity"), error.pos)


def _n_members(value: Any, most: int) -> int:
    """Members of all objects in ``value``; counting ends at ``most``."""
    n_members, waiting = 0, [value]
    while waiting and n_members < most:
        value = waiting.pop()
        if isinstance(value, dict):
            n_members += len(value)
            waiting += value.values()
        elif isinstance(value, list) and value and isinstance(value[0], (dict, list)):
            waiting += value
    return n_members


def _parse_exactly(body: bytes | bytearray) -> Any:
    """As ``parse``, in the words of the real server; some ten times as slow."""
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
    """The bytes of a string that ``parse`` gave.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` for half a character, which only a large document still holds.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise _refused("The surrogate pair in string is invalid.") from error


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs)) if len({key for key, _ in pairs}) < len(pairs) else dict(pairs)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _TooBig
    return value


def _int(text: str) -> int | float:
    # As orjson: what 64 bits do not hold is a double. No longer text is parsed as a whole number, which costs time.
    if len(text) < 19:
        return int(text)
    value = _float(text)
    return int(text) if -(2.0**63) <= value < 2.0**64 else value


_LENIENT = json.JSONDecoder(object_pairs_hook=_first_wins, parse_float=_float, parse_int=_int)
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
    for number in _TOKEN.finditer(text):
        if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", number.group()) and math.isinf(float(number.group())):
            return number.start()
    return None


def _first_lone_surrogate(text: str) -> int | None:
    for string in _TOKEN.finditer(text):
        if string.group().startswith('"') and (place := _lone_in(string.group())) is not None:
            return string.start() + place
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
