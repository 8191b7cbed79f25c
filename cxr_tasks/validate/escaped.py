"""Values of tables as text in Data Docs: Great Expectations writes them into its pages as they are."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import great_expectations as gx


def escape_results(context: gx.data_context.EphemeralDataContext) -> None:
    """Escape what was found in the tables, in every validation result that ``context`` keeps for its Data Docs.

    A label, a file name or a column in a CSV file is somebody else's text: unescaped it is markup, and a script in it
    runs for whoever opens the page. What the expectations themselves say is the suites' own and is left as it is;
    Great Expectations escapes that. Results handed out by the checkpoint before are copies and keep their text.
    """
    store = context.validation_results_store
    for key in store.list_keys():
        kept: Any = store.get(key)
        for result in kept.results:
            result.result = as_text(result.result)
            result.exception_info = as_text(result.exception_info)
        store.set(key, kept)


def as_text(value: Any) -> Any:
    """``value`` with every string in it, keys of mappings included, escaped for HTML.

    >>> as_text({"partial_unexpected_list": ["<b>", 1], "<i>": None})
    {'partial_unexpected_list': ['&lt;b&gt;', 1], '&lt;i&gt;': None}
    """
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, Mapping):
        return {as_text(key): as_text(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set)):
        return type(value)(as_text(member) for member in value)
    return value
