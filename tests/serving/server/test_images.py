"""The exported graph behind the embedded server: files of every kind, alone, in batches, and from several clients."""

from __future__ import annotations

import base64
import http.client
import json
import math
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.image_files import REFUSED, TAKEN
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.serving, pytest.mark.tf]

LIMIT = 1 << 20
GOOD, BAD = TAKEN["JPEG grey"], REFUSED["WebP animated"][0]


def running(exported, free_port, *flags: str):
    from serving.server.flags import parse_flags
    from serving.server.server import ModelServer

    own = [f"--port={free_port()}", f"--rest_api_port={free_port()}", "--shutdown_grace_seconds=0"]
    own += ["--model_name=cxr_binary", f"--model_base_path={exported.parent}", f"--grpc_max_message_bytes={LIMIT}"]
    server = ModelServer(parse_flags([*own, *flags]).options)
    server.start()
    return server


@pytest.fixture(scope="module")
def server(exported, free_port):
    server = running(exported, free_port)
    yield server
    server.stop()


def row(image: bytes) -> dict:
    return {"b64": base64.b64encode(image).decode()}


def post(server, document: dict | bytes, *, headers: dict | None = None, is_chunked: bool = False) -> tuple[int, dict]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.options.rest_api_port, timeout=60)
    sent = iter([body[:100], body[100:]]) if is_chunked else body
    headers = {**(headers or {}), **({"Transfer-Encoding": "chunked"} if is_chunked else {})}
    connection.request("POST", "/v1/models/cxr_binary:predict", sent, headers, encode_chunked=is_chunked)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_not_taken_fails_its_request_with_index_and_reason(server, name):
    content, words = REFUSED[name]
    status, answer = post(server, {"instances": [row(GOOD), row(content), row(GOOD)]})
    assert status == 400
    assert "image 1 (counted from 0, of 3): " in answer["error"] and words in answer["error"]


def test_lenient_answers_all_others(server):
    images = [GOOD, BAD, TAKEN["a small mark"], REFUSED["PNG with a wrong checksum"][0], GOOD]
    status, answer = post(server, {"signature_name": "lenient", "instances": [row(one) for one in images]})
    assert status == 200
    rows = answer["predictions"]
    assert [one["status"].partition(":")[0] for one in rows] == ["ok", "refused", "ok", "refused", "ok"]
    assert "a WebP file" in rows[1]["status"] and "coloured mark" in rows[2]["status"]
    assert [math.isnan(one["probabilities"][0]) for one in rows] == [False, True, False, True, False]
    assert [one["decisions"] for one in rows if one["status"].startswith("refused")] == [[False], [False]]
    _, strict = post(server, {"instances": [row(GOOD)]})
    assert rows[0]["probabilities"] == pytest.approx(strict["predictions"][0]["probabilities"], abs=1e-6)


@pytest.mark.parametrize("signature", ["serving_default", "lenient", "explain"])
def test_more_images_than_are_taken_at_once_are_refused_by_their_number(server, signature):
    for n_images, expected in ((64, 200), (65, 400)):
        status, answer = post(server, {"signature_name": signature, "instances": [row(GOOD)] * n_images})
        assert status == expected
    assert "65 images in one request, at most 64 are taken" in answer["error"]


def test_lenient_costs_no_other_client_its_answer_where_requests_are_joined(exported, free_port, tmp_path):
    parameters = tmp_path / "batching.txt"
    parameters.write_text(
        "max_batch_size { value: 6 } batch_timeout_micros { value: 30000000 } num_batch_threads { value: 1 }"
    )
    server = running(exported, free_port, "--enable_batching", f"--batching_parameters_file={parameters}")
    try:
        # Six rows fill a batch, which therefore holds all three requests.
        requests = [[GOOD, GOOD], [GOOD, BAD], [GOOD, GOOD]]
        with ThreadPoolExecutor(3) as clients:
            answers = list(
                clients.map(
                    lambda images: post(
                        server, {"signature_name": "lenient", "instances": [row(one) for one in images]}
                    ),
                    requests,
                )
            )
    finally:
        server.stop()
    assert [status for status, _ in answers] == [200, 200, 200]
    verdicts = [[one["status"].partition(":")[0] for one in answer["predictions"]] for _, answer in answers]
    assert verdicts == [["ok", "ok"], ["ok", "refused"], ["ok", "ok"]]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (base64.encodebytes(GOOD).decode(), 200),  # MIME: a line break after 76 characters
        (base64.encodebytes(GOOD).decode().replace("\n", "\r\n"), 200),
        (" \t" + base64.b64encode(GOOD).decode() + "\f\v ", 200),
        (base64.b64encode(GOOD + b"\0" * (3 - len(GOOD) % 3 + 1)).decode().replace("=", "."), 200),
        (base64.b64encode(GOOD + b"\0" * (3 - len(GOOD) % 3 + 1)).decode().rstrip("="), 200),
        (base64.b64encode(GOOD + b"\0" * (3 - len(GOOD) % 3 + 1)).decode()[:-1], 400),  # padded by half
        (base64.urlsafe_b64encode(b"\xff\xfe\xfd" + GOOD).decode(), 400),
        ("ab\u00a0cd", 400),
    ],
)
def test_base64_is_taken_as_tensorflow_serving_takes_it(server, text, status):
    found, answer = post(server, {"instances": [{"b64": text}]})
    assert found == status, answer
    if status == 400:
        assert "Unable to base64 decode" in answer["error"]


def test_a_body_in_chunks_is_answered_like_one_of_known_length(server):
    document = {"instances": [row(GOOD)]}
    assert post(server, document, is_chunked=True) == post(server, document)


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size", [LIMIT + 1, 40 * LIMIT])
def test_a_body_over_the_limit_gets_an_answer_that_says_so(server, size, is_chunked):
    """Far more than what the system keeps for a connection: the client is still sending when it is refused."""
    status, answer = post(server, b"A" * size, is_chunked=is_chunked)
    assert status == 413
    assert str(LIMIT) in answer["error"]


def test_a_client_that_asks_first_is_refused_before_it_sends(server):
    with socket.create_connection(("127.0.0.1", server.options.rest_api_port), timeout=PATIENCE_S) as connection:
        headers = f"Content-Length: {LIMIT * 9}\r\nExpect: 100-continue"
        connection.sendall(f"POST /v1/models/cxr_binary:predict HTTP/1.1\r\n{headers}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("head", "body", "words"),
    [
        ("Transfer-Encoding: chunked", b"zz\r\nabc\r\n", "Invalid character in chunk size"),
        ("Transfer-Encoding: chunked", b"-1\r\nabc\r\n", "Invalid character in chunk size"),
        ("Transfer-Encoding: chunked", b"5\r\nabcdefgh\r\n0\r\n\r\n", "Expected LF after chunk data"),
        ("Transfer-Encoding: gzip, chunked", b"0\r\n\r\n", "expected chunked"),
        ("Content-Length: -5", b"", "Invalid character in Content-Length"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_in_words(server, head, body, words):
    with socket.create_connection(("127.0.0.1", server.options.rest_api_port), timeout=PATIENCE_S) as connection:
        connection.sendall(f"POST /v1/models/cxr_binary:predict HTTP/1.1\r\n{head}\r\n\r\n".encode() + body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400 and words in json.loads(answer.read())["error"]


def test_a_connection_serves_again_after_a_body_in_chunks(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.options.rest_api_port, timeout=60)
    body = json.dumps({"instances": [row(GOOD)]}).encode()
    for _ in range(3):
        connection.request(
            "POST", "/v1/models/cxr_binary:predict", iter([body]), {"Transfer-Encoding": "chunked"}, encode_chunked=True
        )
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()


def test_bad_images_cost_no_other_client_its_answer_where_requests_are_joined(exported, free_port):
    server = running(exported, free_port, "--join_signatures=serving_default,lenient")
    asked = [GOOD, BAD] * 20
    try:
        with ThreadPoolExecutor(10) as clients:
            answers = list(clients.map(lambda image: post(server, {"instances": [row(image)]}), asked))
        n_alone, n_runs = len(asked), server.metrics.batch_runs.total()
    finally:
        server.stop()
    assert [status for status, _ in answers] == [200, 400] * 20
    assert all("image 0" in answer["error"] for _, answer in answers[1::2])
    assert 0 < n_runs <= n_alone


def test_requests_are_not_joined_in_two_ways_at_once(exported, free_port):
    from serving.server.status import StatusError

    with pytest.raises(StatusError, match="expected one of them"):
        running(exported, free_port, "--join_signatures=lenient", "--enable_batching")
