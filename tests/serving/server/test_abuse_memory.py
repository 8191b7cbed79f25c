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


def test_names_of_models_are_cut_where_they_are_counted(server, call):
    from tensorflow_serving.apis import predict_pb2

    from serving.server.metrics import MAX_LABEL_CHARS

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "x" * (MIB // 2)
    assert call(server, PREDICTION, "Predict", request.SerializeToString())[0] == "NOT_FOUND"
    counted = [line for line in server.core.metrics.page().splitlines() if "xxx" in line]
    assert len(counted) == 1
    assert len(counted[0]) < 2 * MAX_LABEL_CHARS


def test_names_that_nobody_serves_take_no_place_from_those_that_are(server, call):
    from tensorflow_serving.apis import predict_pb2

    from serving.server.metrics import MAX_LABEL_SETS

    for number in range(MAX_LABEL_SETS + 10):
        server.core.metrics.requests.add((f"none{number}", "NOT_FOUND"))
    request = predict_pb2.PredictRequest(model_spec={"name": "bytes_toy", "signature_name": "none"})
    assert call(server, PREDICTION, "Predict", request.SerializeToString())[0] == "FAILED_PRECONDITION"
    assert 'request_count{model_name="bytes_toy",status="FAILED_PRECONDITION"} 1' in server.core.metrics.page()


@pytest.mark.parametrize("batching", [[], ["--enable_batching=true"]], ids=["alone", "batching"])
def test_refused_requests_are_let_go_of_without_the_garbage_collector(base, serve, call, batching):
    import gc

    server = serve([f"--model_base_path={base}/models/toy", "--model_name=toy", *batching])
    refused = [
        filled(1, [3], float_val=[1.0]),  # the run itself fails
        filled(1, [0, 3]) if batching else filled(1, [-1], float_val=[1.0]),
        b"\xff" * 1000,
    ]
    connection = http.client.HTTPConnection("127.0.0.1", server.options.rest_api_port, timeout=60)
    for request in refused:
        call(server, PREDICTION, "Predict", request)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for request in refused * 3:
            assert call(server, PREDICTION, "Predict", request)[0] != "OK"
        for body in (b"{", b'{"inputs": [[1, 2]]}'):
            connection.request("POST", "/v1/models/toy:predict", body)
            assert connection.getresponse().read()
        connection.request("POST", "/v1/models/toy:predict", b"\x1f\x8b", {"Content-Encoding": "gzip"})
        assert connection.getresponse().read()
        gc.collect()
        held = [one for one in gc.garbage if type(one).__name__ in {"StatusError", "BodyRefused"}]
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.garbage.clear()
    assert held == []


def test_fields_are_counted_before_they_fill_the_memory():
    from tensorflow.core.example import example_pb2
    from tensorflow_serving.apis import classification_pb2, predict_pb2

    from serving.server.wire import SMALL_BYTES, has_too_many_fields

    images = predict_pb2.PredictRequest(model_spec={"name": "toy"})
    images.inputs["x"].string_val.extend([b"\xff\x12\x00" * 100_000] * 64)
    images.inputs["y"].float_val.extend([1.5] * 500_000)
    many = predict_pb2.PredictRequest()
    many.inputs["x"].string_val.extend([b""] * SMALL_BYTES)
    n_fields = {"images": 64 + 2 * 3 + 4, "many": SMALL_BYTES + 3}
    for request, name in ((images, "images"), (many, "many")):
        raw = request.SerializeToString()
        assert not has_too_many_fields(request.DESCRIPTOR, raw, n_fields[name]), name
        assert has_too_many_fields(request.DESCRIPTOR, raw, n_fields[name] - 8), name
    examples = classification_pb2.ClassificationRequest()
    examples.input.example_list.examples.extend([example_pb2.Example()] * SMALL_BYTES)
    assert has_too_many_fields(examples.DESCRIPTOR, examples.SerializeToString(), SMALL_BYTES)
    for broken in (
        b"\xff" * 2 * SMALL_BYTES,
        b"\x0b" * 2 * SMALL_BYTES,
        b"\x12\xff\xff\xff\x7f" + bytes(2 * SMALL_BYTES),
    ):
        has_too_many_fields(predict_pb2.PredictRequest.DESCRIPTOR, broken)


def test_message_of_very_many_fields_is_refused_unread(base, serve, call):
    server = serve([f"--model_base_path={base}/models/toy", "--model_name=toy"])
    for method, tag in (("Predict", b"\x1a\x00"), ("GetModelMetadata", b"\x12\x00")):
        code, message, _ = call(server, PREDICTION, method, tag * (2 << 20))
        assert (code, message[:31]) == ("INVALID_ARGUMENT", "Expected at most 1114112 fields"), message


def test_document_of_very_many_lists_is_refused_unread():
    from serving.server.rest import json_text
    from serving.server.status import StatusError

    with pytest.raises(StatusError, match="more than 2097152 lists and objects"):
        json_text.parse(b'{"instances": [' + b"[]," * json_text.MOST_LISTS + b"1]}")
