"""Who may ask the server: names of its host, the owner's socket, TLS; and what strangers write in its log."""

from __future__ import annotations

import datetime
import http.client
import logging
import socket
import ssl
import stat

import pytest

from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.serving, pytest.mark.tf]

PREDICTION = "tensorflow.serving.PredictionService"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"


@pytest.fixture(scope="module")
def socket_path(tmp_path_factory):
    return tmp_path_factory.mktemp("socket") / "grpc.sock"


@pytest.fixture(scope="module")
def server(base, serve, socket_path):
    return serve(
        [
            "--model_name=toy",
            f"--model_base_path={base}/models/toy",
            "--enable_reload_over_tcp=false",
            f"--grpc_socket_path={socket_path}",
            "--rest_allowed_hosts=model-server,models.example",
        ]
    )


def reload_request(base) -> bytes:
    from tensorflow_serving.apis import model_management_pb2

    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name="toy", base_path=f"{base}/models/toy", model_platform="tensorflow")
    return request.SerializeToString()


def test_new_list_of_models_is_taken_from_the_owners_socket_only(server, base, socket_path):
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{server.options.port}") as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(RELOAD)(reload_request(base), timeout=60)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "--grpc_socket_path" in refused.value.details()
    assert stat.S_IMODE(socket_path.stat().st_mode) == 0o600
    with grpc.insecure_channel(f"unix:{socket_path}") as channel:
        assert channel.unary_unary(RELOAD)(reload_request(base), timeout=60) is not None
        status = channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")
        assert status(b"\x0a\x05\x0a\x03toy", timeout=60)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8501", 200),
        ("127.0.0.1:8501", 200),
        ("192.168.1.5", 200),  # no name that another site could point here
        ("[::1]:8501", 200),
        ("model-server:8501", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
def test_rest_answers_under_its_own_names_only(server, host, status):
    connection = http.client.HTTPConnection("127.0.0.1", server.options.rest_api_port, timeout=60)
    connection.request("GET", "/v1/models/toy", headers={"Host": host})
    answer = connection.getresponse()
    assert answer.status == status
    assert status == 200 or b"--rest_allowed_hosts" in answer.read()
    assert answer.headers.get("Access-Control-Allow-Origin") is None
    connection.close()


def test_requests_that_are_no_protos_leave_one_line_for_all(server, call, caplog):
    with caplog.at_level(logging.INFO):
        answers = {call(server, PREDICTION, "Predict", b"\xff" * 50)[:2] for _ in range(50)}
    assert answers == {
        ("INTERNAL", "Expected a serialized tensorflow.serving.PredictRequest, found 50 bytes that are none")
    }
    # Two at most, where the test runs across the end of a span of ten seconds... and the machine is slow.
    said = [one for one in caplog.records if "is not a tensorflow.serving" in one.getMessage()]
    assert 1 <= len(said) < 25
    assert not any(one.exc_info for one in caplog.records)


def test_lines_that_are_held_back_are_counted(caplog):
    from serving.server.seldom import Seldom

    seldom = Seldom(logging.getLogger("abuse"), every_s=60)
    for number in range(5):
        seldom.warning("number %d of 100%%", number)
    seldom._next = 0
    seldom.warning("number %d of 100%%", 5)
    assert [one.getMessage() for one in caplog.records] == [
        "number 0 of 100%",
        "number 5 of 100% (and 4 times since the last such line)",
    ]


def test_tls_by_config_file_and_nothing_plain_beside_it(base, serve, tmp_path, free_port):
    import grpc

    key, certificate = self_signed()
    config = tmp_path / "ssl.config"
    texts = {"server_key": key, "server_cert": certificate, "custom_ca": certificate}
    lines = [f'{name}: "{text.decode()}"'.replace("\n", "\\n") for name, text in texts.items()]
    config.write_text("\n".join([*lines, "client_verify: true"]))
    own = serve(["--model_name=toy", f"--model_base_path={base}/models/toy", f"--ssl_config_file={config}"])
    address, method = f"localhost:{own.options.port}", "/tensorflow.serving.ModelService/GetModelStatus"
    known = grpc.ssl_channel_credentials(certificate, key, certificate)
    stranger = grpc.ssl_channel_credentials(certificate)
    with grpc.secure_channel(address, known) as channel:
        assert channel.unary_unary(method)(b"\x0a\x05\x0a\x03toy", timeout=60)
    for refused in (grpc.secure_channel(address, stranger), grpc.insecure_channel(address)):
        with refused as channel, pytest.raises(grpc.RpcError) as error:
            channel.unary_unary(method)(b"\x0a\x05\x0a\x03toy", timeout=60)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('server_key: "k"', "expected server_cert"),
        ('server_key: "k" server_cert: "c" client_verify: true', "client_verify needs custom_ca"),
        ('key: "k"', "Invalid protobuf file"),
    ],
)
def test_unfit_tls_file_starts_no_server(base, serve, tmp_path, text, expected):
    from serving.server.status import StatusError

    config = tmp_path / "ssl.config"
    config.write_text(text)
    with pytest.raises(StatusError, match=expected):
        serve(["--model_name=toy", f"--model_base_path={base}/models/toy", f"--ssl_config_file={config}"])


def test_socket_alone_opens_no_port(base, serve, tmp_path):
    import grpc

    path = tmp_path / "grpc.sock"
    serve(
        [
            "--model_name=toy",
            f"--model_base_path={base}/models/toy",
            "--port=0",
            "--rest_api_port=0",
            f"--grpc_socket_path={path}",
        ]
    )
    with grpc.insecure_channel(f"unix:{path}") as channel:
        assert channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus")(
            b"\x0a\x05\x0a\x03toy", timeout=PATIENCE_S
        )


def self_signed() -> tuple[bytes, bytes]:
    """Key and certificate of localhost, PEM, which sign for themselves."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    made = certificate.public_bytes(pem)
    assert ssl.PEM_cert_to_DER_cert(made.decode())
    plain = serialization.NoEncryption()
    return key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain), made


def test_answers_over_rest_are_sent_without_waiting_for_more(server):
    """With Nagle's algorithm the body would wait for the client's word that it has the head, 40 ms as a rule."""
    connection = http.client.HTTPConnection("127.0.0.1", server.options.rest_api_port, timeout=60)
    connection.request("GET", "/v1/models/toy")
    assert connection.getresponse().read()
    held = [one.transport.get_extra_info("socket") for one in server._front._rest._server.server_state.connections]
    assert held
    assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in held)
    connection.close()
