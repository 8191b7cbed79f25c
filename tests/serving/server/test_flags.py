"""The command line: the real server's spellings, and ours."""

from __future__ import annotations

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from serving.server.flags import FLAGS, ServerOptions, parse_flags, usage


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {}),
        (["--port=8600"], {"port": 8600}),
        (["--port", "8600", "--model_name", "a b"], {"port": 8600, "model_name": "a b"}),
        (["--enable_batching"], {"enable_batching": True}),  # a bool alone
        (["--enable_batching", "--port=1"], {"enable_batching": True, "port": 1}),  # and takes no next word
        (["--enable_batching=false"], {"enable_batching": False}),
        (["--model_name="], {"model_name": ""}),
        (["--model_base_path=/a=b"], {"model_base_path": "/a=b"}),  # only the first = parts
        (["--shutdown_grace_seconds=0.5"], {"shutdown_grace_seconds": 0.5}),
        (["--port=1", "--port=2"], {"port": 2}),  # the last one counts
    ],
)
def test_values_are_read(words, expected):
    line = parse_flags(words)
    assert line.options == ServerOptions(**expected)
    assert line.unknown == ()


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        (["--no_such_flag=1"], ("--no_such_flag=1",)),
        (["hello"], ("hello",)),
        (["-port=1"], ("-port=1",)),  # a single dash is no flag
    ],
)
def test_unknown_words_are_kept_for_a_warning(words, unknown):
    assert parse_flags(words).unknown == unknown


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--port=abc"], "--port: expected a value of type int, got 'abc'"),
        (["--enable_batching=perhaps"], "--enable_batching: expected a value of type bool, got 'perhaps'"),
        (["--port"], "--port: expected a value"),
    ],
)
def test_bad_values_are_named(words, text):
    with pytest.raises(ConfigurationError, match=text):
        parse_flags(words)


def test_server_binds_to_loopback_unless_told_otherwise():
    assert ServerOptions().host == "127.0.0.1"


def test_usage_names_every_flag():
    shown = usage()
    assert not [name for name in FLAGS if f"--{name}=" not in shown]
