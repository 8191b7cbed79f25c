"""The kinds of failure, by who has to act on them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class CxrError(Exception):
    """Base of every error this platform raises on purpose; its text is written for a person."""


class DataDefect(CxrError):
    """The same input will fail again: no retry helps, a person must look at the data."""


class ConfigurationError(CxrError):
    """A recipe, setting or command-line value is wrong; the message names it and the nearest right one."""


class ServiceUnavailable(CxrError):
    """Something outside this process did not answer; trying again may help."""


class DiskFull(CxrError):
    """There is no room for what is to be written; somebody makes room, then the same step goes on."""


class ReleaseRefused(CxrError):
    """A version failed a check on its way to the model server; what served before still serves."""


class NotApproved(CxrError):
    """Nobody approved a version while there was time; what served before still serves."""


class UndefinedMetric(CxrError):
    """A metric has no value on this data (one class only, too few rows); never replaced by 0.5 or NaN."""


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` where one of ``known`` is close to ``word``, else an empty string."""
    close = difflib.get_close_matches(word, [str(name) for name in known], n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def chosen(table: Mapping[str, T], name: str, where: str) -> T:
    """What ``table`` holds for ``name``, which a recipe, policy or file gives at ``where``.

    Instead of ``table.get(name, default)``, which takes a name that nothing was made for as one of the others.

    Raises:
        ConfigurationError: It holds nothing for it; the nearest known name is told.
    """
    if name not in table:
        raise ConfigurationError(f"{where}: {name!r} is not known{nearest(name, table)}; known: {', '.join(table)}")
    return table[name]
