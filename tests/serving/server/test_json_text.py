"""JSON read as leniently, and refused in the same words and at the same byte, as RapidJSON does it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.server.rest.json_shown import pretty
from serving.server.rest.json_text import parse, to_bytes
from serving.server.status import StatusError

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(JSON_VALUES)
def test_what_json_writes_is_read_back(value):
    assert parse(json.dumps(value).encode()) == value
    assert parse(pretty(value).encode()) == value


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),  # byte order mark
        (b'{"a": 1} trailing', {"a": 1}),
        (b'{"a": 1, "a": 2}', {"a": 1}),  # the first of a repeated key
        (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
        (b'["\\\\ud800"]', ["\\ud800"]),  # an escaped backslash, no surrogate
        (b"[Infinity, -Infinity]", [math.inf, -math.inf]),
    ],
)
def test_lenient_reading(body, value):
    assert parse(body) == value


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "The document is empty"),
        (b" \n", "The document is empty"),
        (b"{", "Missing a name for object member. at offset: 1"),
        (b"{'a': 1}", "Missing a name for object member. at offset: 1"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b"[1,2", "Missing a comma or ']' after an array element. at offset: 4"),
        (b'{"a": 1 "b"', "Missing a comma or '}' after an object member. at offset: 8"),
        (b"[1,]", "Invalid value. at offset: 3"),
        (b'{"a":1,}', "Missing a name for object member. at offset: 7"),
        (b"hello", "Invalid value. at offset: 0"),
        (b'["\xc3\xa9", x]', "Invalid value. at offset: 7"),  # offsets count bytes
        (b"[1, 1e400]", "Number too big to be stored in double. at offset: 4"),
        (b"[" + b"9" * 500 + b"]", "Number too big to be stored in double. at offset: 1"),
        (b'["\\ud800"]', "The surrogate pair in string is invalid. at offset: 2"),
        (b'["\\ude00\\ud83d"]', "The surrogate pair in string is invalid. at offset: 2"),
        (b'["abc]', "Missing a closing quotation mark in string. at offset: 1"),
        (b"[" * 100_000, "The document is nested too deep."),
    ],
)
def test_faults_in_the_words_of_the_server(body, fault):
    with pytest.raises(StatusError) as caught:
        parse(body)
    assert caught.value.code.name == "INVALID_ARGUMENT"
    assert caught.value.message == f"JSON Parse error: {fault}"


@settings(deadline=None)
@given(st.binary())
def test_no_bytes_break_the_parser(body):
    try:
        parse(body)
    except StatusError as error:
        assert error.message.startswith("JSON Parse error: ")


def test_bytes_that_are_not_utf8_come_back_as_they_were():
    assert to_bytes(parse(b'["\xff\xfe"]')[0]) == b"\xff\xfe"


def test_objects_are_shown_over_lines_and_arrays_on_one():
    shown = pretty({"name": "a", "examples": [{"x": [1.0, 2]}], "none": {}})
    assert shown == '{\n    "name": "a",\n    "examples": [{\n            "x": [1.0, 2]\n        }],\n    "none": {}\n}'
