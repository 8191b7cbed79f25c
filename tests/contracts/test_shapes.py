from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.shapes import build, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    size: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    name: str
    rate: float
    kind: Literal["a", "b"] = "a"
    limit: float | None = None
    inner: Inner = field(default_factory=Inner)
    names: tuple[str, ...] = ()


def test_nested_mappings_become_dataclasses_and_back():
    mapping = {"name": "x", "rate": 1, "kind": "b", "limit": 2.5, "inner": {"size": 4}, "names": ["p", "q"]}
    built = build(Outer, mapping, "recipe")
    assert built == Outer(name="x", rate=1.0, kind="b", limit=2.5, inner=Inner(size=4), names=("p", "q"))
    assert build(Outer, plain(built), "recipe") == built


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nmae": "x"}, "recipe: 'nmae' is not known; did you mean 'name'?"),  # misspelt key
        ({"rate": "fast"}, "recipe.rate: expected float, found str 'fast'"),  # wrong type
        ({"rate": True}, "recipe.rate: expected float, found bool True"),  # a bool is no number
        ({"inner": {"size": 1.5}}, "recipe.inner.size: expected int, found float 1.5"),  # nested place is named
        ({"inner": {"sise": 1}}, "recipe.inner: 'sise' is not known; did you mean 'size'?"),
        ({"kind": "c"}, "recipe.kind: 'c' is not known"),
        ({"names": "p"}, "recipe.names: expected a list, found 'p'"),
        ({"inner": 3}, "recipe.inner: expected a mapping, found int 3"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(change, message):
    with pytest.raises(ConfigurationError) as caught:
        build(Outer, {"name": "x", "rate": 1.0, **change}, "recipe")
    assert message in str(caught.value)


def test_a_missing_key_is_named():
    with pytest.raises(ConfigurationError, match="recipe: 'rate' is missing"):
        build(Outer, {"name": "x"}, "recipe")
