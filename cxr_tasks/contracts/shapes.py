"""Plain mappings into frozen dataclasses, strictly: a key that is unknown, missing or mistyped is named."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

from cxr_tasks.contracts.errors import ConfigurationError, nearest

T = TypeVar("T")


def build(cls: type[T], mapping: Any, where: str, *, keeps_to_known: bool = True) -> T:
    """An instance of the dataclass ``cls`` from ``mapping``; ``where`` names the place in error messages.

    Integers are taken for float fields (YAML writes ``1``), nothing else is converted.

    Args:
        keeps_to_known: Refuse keys that ``cls`` does not have, as a person may have misspelt one; of what a program
            wrote they are left aside: a later version of it may know more.

    Raises:
        ConfigurationError: ``mapping`` is not a mapping, or a key is unknown, missing or of the wrong type.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigurationError(f"{where}: expected a mapping, found {type(mapping).__name__} {mapping!r}")
    hints = _hints(typing.cast(Hashable, cls))
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in mapping if keeps_to_known else ():
        if key not in fields:
            raise ConfigurationError(
                f"{where}: {key!r} is not known{nearest(str(key), fields)}; known: {', '.join(fields)}"
            )
    values = {}
    for name, field in fields.items():
        if name in mapping:
            values[name] = _convert(hints[name], mapping[name], f"{where}.{name}", keeps_to_known)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigurationError(f"{where}: {name!r} is missing")
    try:
        return cls(**values)
    except (ConfigurationError, ValueError) as error:
        raise ConfigurationError(f"{where}: {error}") from None


@functools.cache
def _hints(cls: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(typing.cast(type, cls))


def _convert(hint: Any, value: Any, where: str, keeps_to_known: bool) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in typing.get_args(hint):
            return None
        inner = [part for part in typing.get_args(hint) if part is not type(None)]
        return _convert(inner[0], value, where, keeps_to_known)
    if origin is typing.Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            known = ", ".join(map(str, choices))
            raise ConfigurationError(f"{where}: {value!r} is not known{nearest(str(value), choices)}; known: {known}")
        return value
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, where, keeps_to_known=keeps_to_known)
    if origin is tuple or hasattr(hint, "_fields"):
        return _convert_list(hint, value, where, keeps_to_known)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{where}: expected a mapping, found {value!r}")
        item = typing.get_args(hint)[1]
        return {str(key): _convert(item, entry, f"{where}.{key}", keeps_to_known) for key, entry in value.items()}
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigurationError(f"{where}: expected {hint.__name__}, found {type(value).__name__} {value!r}")
    return value


def _convert_list(hint: Any, value: Any, where: str, keeps_to_known: bool) -> Any:
    """A tuple of any length, or a named tuple, from a list with one entry per field, as ``plain`` writes both."""
    if not isinstance(value, (list, tuple)):
        raise ConfigurationError(f"{where}: expected a list, found {value!r}")
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        return tuple(_convert(item, entry, f"{where}[{i}]", keeps_to_known) for i, entry in enumerate(value))
    names = hint._fields
    if len(value) != len(names):
        raise ConfigurationError(f"{where}: expected a list of {', '.join(names)}, found {value!r}")
    hints = _hints(hint)
    entries = zip(names, value, strict=True)
    return hint(*(_convert(hints[name], entry, f"{where}.{name}", keeps_to_known) for name, entry in entries))


def plain(value: Any) -> Any:
    """``value`` (dataclasses, tuples and mappings nested at will) as JSON-ready dicts and lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    return value
