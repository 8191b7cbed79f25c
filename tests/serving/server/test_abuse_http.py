"""HTTP that is seldom seen: other protocols offered, trailers, packed bodies, headers that come twice, odd numbers."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import zlib

import pytest

from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.serving, pytest.mark.tf]

BODY = b'{"inputs": [[1.0, 2.0, 5.0]]}'
UPGRADE = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA\r\n"


@pytest.fixture(scope="module")
def server(base, serve):
    return serve([f"--model_base_path={base}/models/toy", "--model_name=toy", f"--grpc_max_message_bytes={1 << 20}"])


def request(body: bytes = BODY, head: str = "", is_sized: bool = True) -> bytes:
    sized = f"Content-Length: {len(body)}\r\n" if is_sized else ""
    return f"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\n{head}{sized}\r\n".encode() + body


def ask(server, *parts: bytes, n: int = 1) -> list[tuple[int, dict]]:
    """Sends ``parts`` one after the other, and reads ``n`` answers."""
    with socket.create_connection(("127.0.0.1", server.options.rest_api_port), timeout=PATIENCE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
        stream = connection.makefile("rb")
        return [_answer(stream) for _ in range(n)]


def _answer(stream) -> tuple[int, dict]:
    status = int(stream.readline().split()[1])
    headers = http.client.parse_headers(stream)
    return status, json.loads(stream.read(int(headers["content-length"])))


@pytest.mark.parametrize("is_byte_by_byte", [False, True])
def test_another_protocol_is_not_taken_up_and_costs_no_body(server, is_byte_by_byte):
    # As Java's client does with the first request of each connection.
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    sent = (
        request(head=UPGRADE)
        + request(chunked, UPGRADE + "Transfer-Encoding: chunked\r\n", is_sized=False)
        + request(head="Connection: Upgrade\r\nUpgrade: websocket\r\n")
        + request()
    )
    parts = [sent[i : i + 1] for i in range(len(sent))] if is_byte_by_byte else [sent]
    answers = ask(server, *parts, n=4)
    assert [status for status, _ in answers] == [200] * 4
    assert answers[0][1]["outputs"]["y"] == answers[3][1]["outputs"]["y"]


def test_protocols_offered_without_end_end_no_connection(server):
    n = 1500
    one = b"GET /v1/models/toy HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert {status for status, _ in ask(server, one * n, n=n)} == {200}


def test_trailers_are_bounded_and_kept_nowhere(server):
    head = request(b"2\r\n{}\r\n0\r\n", "Transfer-Encoding: chunked\r\n", is_sized=False)
    status, answer = ask(server, head, b"Host: elsewhere.example\r\n", b"\r\n")[0]
    assert (status, answer["error"]) == (400, "Missing 'inputs' or 'instances' key")
    for begin, more in ((b"", b"a: b\r\n" * 1000), (b"a: ", b"b" * 8000)):
        with socket.create_connection(("127.0.0.1", server.options.rest_api_port), timeout=PATIENCE_S) as connection:
            connection.sendall(head + begin)
            with pytest.raises(ConnectionError):
                for _ in range(5000):
                    connection.sendall(more)


def test_packed_bodies_are_whole(server):
    packed = gzip.compress(BODY)
    members = gzip.compress(BODY[:10]) + gzip.compress(BODY[10:])
    for body, coding in ((packed, "gzip"), (packed, "GZIP"), (packed, "x-gzip"), (members, "gzip")):
        assert ask(server, request(body, f"Content-Encoding: {coding}\r\n"))[0][0] == 200, (coding, len(body))
    for cut in (packed[:-4], members[:-1]):
        status, answer = ask(server, request(cut, "Content-Encoding: gzip\r\n"))[0]
        assert (status, answer["error"]) == (400, "The packed body ends before its end")
    status, answer = ask(server, request(gzip.compress(b" ") * 1000, "Content-Encoding: gzip\r\n"))[0]
    assert (status, answer["error"]) == (400, "The packed body has more than 64 members, which are taken at most")
    status, answer = ask(server, request(zlib.compress(BODY), "Content-Encoding: gzip\r\n"))[0]
    assert (status, answer["error"]) == (400, "JSON Parse error: The document is empty")


def test_a_header_that_comes_twice_is_not_taken_by_half(server):
    status, answer = ask(server, request(head="Host: elsewhere.example\r\n"))[0]
    assert (status, answer["error"][:20]) == (403, "Host 'localhost, els")
    codings = "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"
    status, answer = ask(server, request(b"0\r\n\r\n", codings, is_sized=False))[0]
    assert status == 400
    assert "expected chunked, found 'gzip, chunked'" in answer["error"]


@pytest.mark.parametrize(
    ("version", "status"),
    [("0" * 40 + "3", 200), ("0" * 5000, 404), ("0" * 40 + "9" * 40, 400), ("9" * 5000, 400)],
)
def test_versions_of_many_digits(server, version, status):
    sent = f"GET /v1/models/toy/versions/{version} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    assert ask(server, sent)[0][0] == status


@pytest.mark.parametrize("number", ["1" + "0" * 308, "-1" + "0" * 300, "9" * 19, "18446744073709551616"])
def test_whole_numbers_that_only_a_double_holds_are_doubles(server, number):
    for end in ("", ', "a": 1, "a": 2'):
        document = f'{{"inputs": [[{number}, 0, 0]]{end}}} x'
        assert ask(server, request(document.encode()))[0][0] == 200
        assert ask(server, request((document + " " * 70_000).encode()))[0][0] == 200
