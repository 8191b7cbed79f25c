"""JSON values as the texts of errors show them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

#: A little more than leaves the server of an error's text.
SHOWN_CHARS = 1200


def pretty(value: Any) -> str:
    """``value`` as error texts show it, objects over several lines, arrays on one; no more of it than they can hold."""
    parts: list[str] = []
    left = SHOWN_CHARS
    for part in _shown(value, 0):
        parts.append(part)
        left -= len(part)
        if left < 0:
            break
    return "".join(parts)


def _shown(value: Any, level: int) -> Iterator[str]:
    if isinstance(value, dict) and value:
        opening = "{\n"
        for key, member in value.items():
            yield f"{opening}{'    ' * (level + 1)}{_shown_leaf(key)}: "
            yield from _shown(member, level + 1)
            opening = ",\n"
        yield f"\n{'    ' * level}}}"
    elif isinstance(value, list):
        opening = "["
        for element in value:
            yield opening
            yield from _shown(element, level + 1)
            opening = ", "
        yield "]" if value else "[]"
    else:
        yield _shown_leaf(value)


def _shown_leaf(value: Any) -> str:
    return json.dumps(value[: SHOWN_CHARS + 1] if isinstance(value, str) else value, ensure_ascii=False)


def type_name(value: Any) -> str:
    """RapidJSON's word for the type of ``value``."""
    if isinstance(value, bool):
        return "True" if value else "False"
    kinds = ((dict, "Object"), (list, "Array"), (str, "String"), (type(None), "Null"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "Number")
