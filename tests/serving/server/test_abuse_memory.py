"""What a few bytes, or many that never end, may make the server hold in memory."""

from __future__ import annotations

import asyncio
import http.client
import socket

import pytest

pytestmark = [pytest.mark.serving, pytest.mark.tf]

MIB = 1 << 20
PREDICTION = "tensorflow.serving.PredictionService"


@pytest.fixture(scope="module")
def server(base, serve):
    """Takes bodies of 1 MiB, and 4 MiB of all together."""
    return serve(
        [
            f"--model_config_file={base}/configs/all.config",
            "--allow_version_labels_for_unavailable_models=true",
            f"--grpc_max_message_bytes={MIB}",
        ]
    )


def filled(dtype: int, shape: list[int], **values: list) -> bytes:
    from tensorflow.core.framework import tensor_pb2
    from tensorflow_serving.apis import predict_pb2

    tensor = tensor_pb2.TensorProto(dtype=dtype, **values)
    for size in shape:
        tensor.tensor_shape.dim.add().size = size
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = "text" if dtype == 7 else "var"
    request.inputs["t" if dtype == 7 else "x"].CopyFrom(tensor)
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("dtype", "shape", "values"),
    [
        (7, [2**29], {"string_val": [b"a"]}),  # 12 GiB of strings
        (7, [2**22, 0], {}),
        (1, [2**15, 2**12], {"float_val": [1.0]}),  # half a GiB of floats
        (1, [2**29, 0], {}),  # no value, and a sum for each row
    ],
)
def test_shape_that_one_value_is_to_fill_is_bounded(server, call, dtype, shape, values):
    code, message, _ = call(server, PREDICTION, "Predict", filled(dtype, shape, **values))
    assert code == "INVALID_ARGUMENT"
    assert "are made of one value or of none" in message


def test_number_of_strings_is_bounded():
    from tensorflow.core.framework import tensor_pb2

    from serving.server.run import tensors

    proto = tensor_pb2.TensorProto(dtype=7, string_val=[b""] * (tensors.MAX_STRINGS + 1))
    proto.tensor_shape.dim.add().size = tensors.MAX_STRINGS + 1
    with pytest.raises(tensors.TensorDefect, match="at most 1048576 strings"):
        tensors.decode(proto)


def test_bodies_that_never_end_give_way_to_those_that_come_later(server):
    n_bytes = MIB - 1000
    head = f"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n_bytes}\r\n\r\n".encode()
    held = []
    try:
        for _ in range(12):
            one = socket.create_connection(("127.0.0.1", server.options.rest_api_port), timeout=60)
            one.sendall(head + b" " * (n_bytes - 1))
            held.append(one)
            connection = http.client.HTTPConnection("127.0.0.1", server.options.rest_api_port, timeout=60)
            connection.request("POST", "/v1/models/toy:predict", b'{"instances": [[1, 2, 3]]}')
            assert connection.getresponse().status == 200
            connection.close()
        assert held[0].recv(100).startswith(b"HTTP/1.1 503 ")
        held[-1].sendall(b" ")
        assert held[-1].recv(100).startswith(b"HTTP/1.1 400 "), "the youngest is still waited for"
    finally:
        for one in held:
            one.close()


def test_all_bodies_together_are_bounded_whoever_sends_them():
    from serving.server.rest.body import Bodies, BodyRefused

    async def attack() -> None:
        bodies = Bodies(10)
        with bodies.incoming() as first, bodies.incoming() as second:
            bodies.add(first, b"123456")
            bodies.add(second, b"1234")
            bodies.add(second, b"5")
            assert (bytes(first.held), bytes(second.held)) == (b"", b"12345")
            second.is_whole = True
            with bodies.incoming() as third, pytest.raises(BodyRefused) as refused:
                bodies.add(third, b"123456")
            assert refused.value.status == 503
        with bodies.incoming() as fourth:
            bodies.add(fourth, b"1234567890")
            assert len(fourth.held) == 10

    asyncio.run(attack())


def test_body_over_the_limit_in_chunks_and_one_that_unpacks_beyond_it(server):
    import gzip

    def status(headers: dict, body) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.options.rest_api_port, timeout=60)
        connection.request("POST", "/v1/models/toy:predict", body, headers, encode_chunked=not isinstance(body, bytes))
        answered = connection.getresponse().status
        connection.close()
        return answered

    assert status({"Transfer-Encoding": "chunked"}, iter([b" " * MIB, b" "])) == 413
    assert status({"Content-Encoding": "gzip"}, gzip.compress(b" " * (MIB + 1))) == 413
    assert status({"Transfer-Encoding": "chunked"}, iter([b'{"instances": ', b"[[1, 2, 3]]}"])) == 200


def test_larger_messages_are_taken_where_the_flag_says_so():
    from serving.server.flags import parse_flags

    assert parse_flags(["--grpc_max_message_bytes=2147483647"]).options.grpc_max_message_bytes == 2**31 - 1
    assert parse_flags([]).options.grpc_max_message_bytes == 64 * MIB
