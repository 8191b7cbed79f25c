"""Every recorded REST call of a real server, replayed against ours.

What ours answers differently on purpose stands in ``OTHERWISE`` with what it answers instead.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.serving, pytest.mark.tf]

# case -> (status, start of the error): values the real server bends silently, or answers in bytes that are no JSON.
NOT_UTF8 = "Tensor name: {} holds bytes that are not UTF-8; name an output *_bytes for base64"
OTHERWISE = {
    "row, text b64": (400, NOT_UTF8.format("upper")),
    "standard base64 with + and /": (400, NOT_UTF8.format("upper")),
    "invalid utf-8 out, row": (400, NOT_UTF8.format("v")),
    "int8 out of range": (400, "JSON Value: 128 Type: Number is not of expected type: int8"),
    "uint8 out of range": (400, "JSON Value: 256 Type: Number is not of expected type: uint8"),
    "uint8 negative": (400, "JSON Value: -1 Type: Number is not of expected type: uint8"),
    # The real one answers with an empty body.
    "version huge": (400, "Failed to convert version: 99999999999999999999 to numeric."),
    # The real one says "When method is classify" of a regress.
    "regress: no examples key": (400, 'JSON Value: {\n    "signature_name": "regress"\n} When method is regress, key'),
    "regress: instances instead of examples": (400, 'JSON Value: {\n    "instances": [{'),
}

# The recording was made without oneDNN, whose matrix product refuses this shape in other words.
TEXTS_OF_ANOTHER_KERNEL = {"deep nesting"}


@pytest.mark.parametrize("setup", ["plain", "latest", "cors", "tensor_content"])
def test_recorded_rest_calls_are_answered_alike(golden, base, setup_server, unequal, setup):
    mine = [one for one in records(golden) if one["setup"] == setup]
    assert mine
    server = setup_server(setup)
    found = []
    for record in mine:
        status, content_type, body = send(server.options.rest_api_port, record)
        why = difference(record, status, content_type, body.replace(str(base).encode(), b"$BASE"), unequal)
        found += [f"{record['case']}: {why}"] if why else []
    assert not found, "\n".join(found)


def test_every_recorded_rest_call_is_replayed(golden):
    assert {one["setup"] for one in records(golden)} == {"plain", "latest", "cors", "tensor_content"}
    assert set(OTHERWISE) <= {one["case"] for one in records(golden)}


def records(golden: Path) -> list[dict]:
    # Not splitlines: one body holds U+2028.
    return [json.loads(line) for line in (golden / "rest.jsonl").read_text().rstrip("\n").split("\n")]


def send(port: int, record: dict) -> tuple[int, str, bytes]:
    body = base64.b64decode(record["body_base64"]) if record.get("body_base64") else record.get("body")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.putrequest(record["method"], record["path"], skip_accept_encoding=True)
    content = body.encode() if isinstance(body, str) else body
    if content is not None and "Content-Length" not in record["headers"]:
        connection.putheader("Content-Length", str(len(content)))
    for name, value in record["headers"].items():
        connection.putheader(name, value)
    connection.endheaders(content or None)
    answer = connection.getresponse()
    received = answer.read()
    connection.close()
    if answer.headers.get("Content-Encoding") == "gzip":
        received = gzip.decompress(received)
    return answer.status, answer.headers.get("Content-Type", ""), received


def difference(record: dict, status: int, content_type: str, body: bytes, unequal) -> str:
    if record["case"] in OTHERWISE:
        wanted, start = OTHERWISE[record["case"]]
        error = json.loads(body).get("error", "")
        return (
            ""
            if status == wanted and error.startswith(start)
            else f"{status} {body!r} instead of our own {wanted} {start!r}"
        )
    if (status, content_type) != (record["status"], record["content_type"]):
        return f"{status} {content_type} {body[:300]!r} instead of {record['status']} {record['content_type']}"
    if record["match"] == "code" or record["case"] in TEXTS_OF_ANOTHER_KERNEL:
        return ""
    raw = record.get("response_base64")
    expected = base64.b64decode(raw) if raw else (record["response"] or "").encode()
    if not content_type.startswith("application/json") or not expected:
        return "" if body == expected else f"body {body!r} instead of {expected!r}"
    if record["match"] == "prefix":
        error = json.loads(body)["error"]
        return "" if error.startswith(record["prefix"]) else f"error {error!r} instead of {record['prefix']!r}"
    got, wanted = (json.loads(one.decode("utf-8", "surrogateescape")) for one in (body, expected))
    return unequal(got, wanted, "")
