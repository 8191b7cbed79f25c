"""TLS on the gRPC ports, by the file of ``--ssl_config_file``; the REST port has none, as that of the real server."""

from __future__ import annotations

from typing import Any

import grpc

from serving.server.config import read_text_proto
from serving.server.status import StatusError
from serving.server.text_protos import new_ssl_config


def server_credentials(file: str) -> grpc.ServerCredentials | None:
    """The credentials in the text-format ``SSLConfig`` of ``file``, whose fields hold PEM texts; None without a file.

    Raises:
        StatusError: The file is missing or malformed, has no key or no certificate, or asks for clients' certificates
            without saying who signs them.
    """
    if not file:
        return None
    config: Any = read_text_proto(file, new_ssl_config())
    for name in ("server_key", "server_cert"):
        if not getattr(config, name):
            raise StatusError("INVALID_ARGUMENT", f"{file}: expected {name} (the PEM text itself), found none")
    if config.client_verify and not config.custom_ca:
        raise StatusError("INVALID_ARGUMENT", f"{file}: client_verify needs custom_ca, the PEM text of who signs them")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )
