"""JSON made to cost much: deep, long, wrong at its end, or of very many numbers."""

from __future__ import annotations

import http.client
import json

import pytest

pytestmark = [pytest.mark.serving, pytest.mark.tf]


@pytest.fixture(scope="module")
def ask(base, serve):
    """Posts a document to the model ``toy`` and gives status and parsed answer."""
    server = serve(
        [f"--model_config_file={base}/configs/all.config", "--allow_version_labels_for_unavailable_models=true"]
    )

    def post(document: str | bytes) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", server.options.rest_api_port, timeout=120)
        connection.request("POST", "/v1/models/toy:predict", document)
        answer = connection.getresponse()
        received = json.loads(answer.read())
        connection.close()
        return answer.status, received

    return post


def test_lists_and_objects_nested_950_deep_are_refused_by_name(ask):
    status, answer = ask('{"inputs": ' + "[" * 950 + "1" + "]" * 950 + "}")
    assert (status, answer["error"]) == (
        400,
        "Expected at most 254 dimensions, found lists nested 950 deep",
    )
    status, answer = ask('{"instances": ' + '{"a":' * 950 + "1" + "}" * 950 + "}")
    assert status == 400
    assert answer["error"].startswith('JSON Value: {\n    "instances": {\n        "a": {')
    assert len(answer["error"]) == 1024 + len("...TRUNCATED")
    status, answer = ask('{"instances": ' + "[" * 100_000)
    assert status == 400
    assert "JSON Parse error: " in answer["error"]


def test_error_shows_no_more_of_a_document_than_leaves_the_server():
    from serving.server.rest.json_shown import SHOWN_CHARS, pretty

    looked_at = []

    class Numbers(list):
        def __iter__(self):
            for one in super().__iter__():
                looked_at.append(one)
                yield one

    shown = pretty({"instances": {"x": Numbers(range(1_000_000)), "y": "a" * 1_000_000}})
    assert shown.startswith('{\n    "instances": {\n        "x": [0, 1, 2, 3')
    assert len(shown) < 2 * SHOWN_CHARS
    assert len(looked_at) < SHOWN_CHARS
    assert len(pretty("a" * 1_000_000)) < 2 * SHOWN_CHARS


def test_fault_in_a_large_document_is_told_without_a_second_reading(monkeypatch):
    from serving.server.rest import json_text
    from serving.server.status import StatusError

    for slow in ("_parse_exactly", "_parse_leniently"):
        monkeypatch.setattr(json_text, slow, lambda body: pytest.fail("read again, ten times as slowly"))
    document = b'{"instances": [' + b"1, " * 100_000
    with pytest.raises(StatusError, match=r"JSON Parse error: .* at character: 300013"):
        json_text.parse(document + b"]}")
    with pytest.raises(StatusError, match=r"JSON Parse error: unexpected end of data at character: "):
        json_text.parse(document)
    assert len(json_text.parse(document + b"1]}")["instances"]) == 100_001


@pytest.mark.parametrize("filling", ["", " " * 100_000], ids=["small", "large"])
def test_what_the_real_server_lets_pass_passes_at_every_size(filling):
    from serving.server.rest.json_text import parse, to_bytes
    from serving.server.status import StatusError

    assert parse(f'{{"a": 1, "a": 2{filling}}}'.encode()) == {"a": 1}
    assert parse(f'{{"a": [{{"b": 1, "b": 2}}], "c": ":"{filling}}}'.encode()) == {"a": [{"b": 1}], "c": ":"}
    assert parse(f'{{"a": 1{filling}}} x'.encode()) == {"a": 1}
    assert parse(f'{{"a": [Infinity, -Infinity]{filling}}}'.encode()) == {"a": [float("inf"), float("-inf")]}
    assert str(parse(f'{{"a": NaN{filling}}}'.encode())["a"]) == "nan"
    with pytest.raises(StatusError, match="The surrogate pair in string is invalid"):
        to_bytes(parse(f'{{"b": NaN, "a": "\\ud83d\\ude00 \\ud83d"{filling}}}'.encode())["a"])


def test_many_numbers_are_taken_as_one_by_one(ask):
    rows = [[i / 7, -i, 3] for i in range(20_000)]
    status, answer = ask(json.dumps({"inputs": rows}))
    assert status == 200
    assert answer["outputs"]["s"][-1] == pytest.approx(sum(rows[-1]) + 3, rel=1e-5)
    assert len(answer["outputs"]["y"]) == 20_000
    rows[-1] = [1, True, 3]
    status, answer = ask(json.dumps({"inputs": rows}))
    assert (status, answer["error"]) == (400, "JSON Value: true Type: True is not of expected type: float")
    rows[-1] = [1, 2]
    assert ask(json.dumps({"inputs": rows}))[1]["error"] == (
        "Encountered list at unexpected size: 2 at level: 1 expected size: 3"
    )


def test_outputs_that_are_no_numbers_keep_their_words(ask):
    status, answer = ask(b'{"signature_name": "var", "inputs": [[1.5, 2], [NaN, 1], [Infinity, 1]]}')
    assert status == 200
    assert answer["outputs"][0] == 10.5
    assert str(answer["outputs"][1:]) == "[nan, inf]"
    status, answer = ask(b'{"signature_name": "var", "instances": [[1.5, 2], [NaN, 1]]}')
    assert str(answer["predictions"]) == "[10.5, nan]"
