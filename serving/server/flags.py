"""The server's command line: the flags of ``tensorflow_model_server``, and a few of our own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from cxr_tasks.contracts.errors import ConfigurationError


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """One value per flag; the defaults are those of ``tensorflow_model_server`` unless the help says "ours"."""

    host: str = _flag("127.0.0.1", "address the ports are bound to (ours)")
    port: int = _flag(8500, "TCP port of the gRPC API; 0 leaves it off")
    grpc_socket_path: str = _flag("", "Unix socket of the gRPC API, for the owner only")
    ssl_config_file: str = _flag("", "SSLConfig in text format: TLS on the gRPC API; the REST API has none")
    rest_api_port: int = _flag(0, "TCP port of the REST API; 0 leaves it off")
    rest_api_num_threads: int = _flag(0, "requests of the REST API served at a time; 0 is 4 x CPUs")
    rest_api_timeout_in_ms: int = _flag(30_000, "time limit of one REST request from its first byte, milliseconds")
    rest_allowed_hosts: str = _flag(
        "", "names that the REST API is called by, separated by commas; localhost and IP addresses always are (ours)"
    )
    rest_api_enable_cors_support: bool = _flag(False, "send CORS headers on the REST API")
    model_name: str = _flag("default", "name of the one model; ignored with --model_config_file")
    model_base_path: str = _flag("", "absolute folder of the one model's version folders")
    model_config_file: str = _flag("", "ModelServerConfig in text format, for several models")
    model_config_file_poll_wait_seconds: int = _flag(0, "seconds between readings of that file; 0: read once")
    file_system_poll_wait_seconds: int = _flag(1, "seconds between looks for new versions; 0: once, <0: never")
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "a new label may name a version that is not loaded yet"
    )
    max_num_load_retries: int = _flag(5, "how often a failed load is tried again")
    load_retry_interval_micros: int = _flag(60_000_000, "microseconds between tries of a load")
    num_load_threads: int = _flag(0, "threads that load versions; 0: one after the other, each blocking the next")
    num_unload_threads: int = _flag(0, "threads that unload versions; 0: in turn with the loads")
    saved_model_tags: str = _flag("serve", "tags of the MetaGraph to load, separated by commas")
    enable_model_warmup: bool = _flag(True, "run assets.extra/tf_serving_warmup_requests before serving")
    enable_batching: bool = _flag(False, "join requests to batches")
    batching_parameters_file: str = _flag("", "BatchingParameters in text format")
    join_signatures: str = _flag(
        "", "signatures, separated by commas, whose Predict requests run together that come while others run (ours)"
    )
    enable_per_model_batching_parameters: bool = _flag(False, "read batching_params.pbtxt of the version folder")
    monitoring_config_file: str = _flag("", "MonitoringConfig in text format; needs --rest_api_port")
    grpc_max_threads: int = _flag(4 * (os.cpu_count() or 1), "one more than the gRPC requests served at a time")
    grpc_channel_arguments: str = _flag("", "key=value pairs of the gRPC server, separated by commas")
    grpc_max_message_bytes: int = _flag(64 << 20, "largest request accepted, bytes, up to 2147483647 (ours)")
    max_run_seconds: float = _flag(120.0, "a run ends with the deadline of its client, and after this; 0: never (ours)")
    enable_reload_over_tcp: bool = _flag(False, "take new lists of models over TCP, not on the Unix socket only (ours)")
    enable_grpc_healthcheck_service: bool = _flag(False, "answer grpc.health.v1.Health/Check")
    enable_signature_method_name_check: bool = _flag(False, "Classify and Regress check method_name")
    enable_serialization_as_tensor_content: bool = _flag(False, "send outputs as tensor_content")
    tensorflow_session_parallelism: int = _flag(0, "threads within and between ops; 0 is automatic")
    tensorflow_intra_op_parallelism: int = _flag(0, "threads within an op; 0 is automatic")
    tensorflow_inter_op_parallelism: int = _flag(0, "threads between ops; 0 is automatic")
    request_log_folder: str = _flag("", "folder for recorded Predict requests, patient data (ours)")
    request_log_share: float = _flag(0.0, "share of the Predict requests to record, 0 to 1 (ours)")
    request_log_max_mib: int = _flag(256, "MiB of recorded requests kept for a model; the oldest go (ours)")
    prediction_log_folder: str = _flag("", "folder for the log of scores and image statistics, no images (ours)")
    prediction_log_days: int = _flag(400, "days of that log that are kept (ours)")
    prediction_log_max_mib: int = _flag(1024, "MiB of that log kept for a model; the oldest days go (ours)")
    prediction_log_flush_s: float = _flag(10.0, "seconds until what was logged is in a file (ours)")
    max_connections: int = _flag(4096, "connections that each of the two APIs holds at a time (ours)")
    shutdown_grace_seconds: float = _flag(7.0, "time running requests get after SIGTERM (ours)")
    version: bool = _flag(False, "print the versions and leave")
    help: bool = _flag(False, "print this and leave")


FLAGS = {flag.name: flag for flag in fields(ServerOptions)}


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What was asked, and the words that no flag knows (named in a warning; the server starts all the same)."""

    options: ServerOptions
    unknown: tuple[str, ...]


def parse_flags(words: Sequence[str]) -> CommandLine:
    """The options in ``words``: ``--flag=value``, ``--flag value``, and ``--flag`` alone for a true one.

    Raises:
        ConfigurationError: A value is missing or is not of its flag's type.
    """
    values: dict[str, Any] = {}
    unknown: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in FLAGS:
            unknown.append(word)
            continue
        if not equals and _kind(name) != "bool":
            if not rest:
                raise ConfigurationError(f"--{name}: expected a value ({_kind(name)}), got the end of the command line")
            value = rest.pop(0)
        values[name] = _value(name, value if equals or value else "true")
    return CommandLine(ServerOptions(**values), tuple(unknown))


def usage() -> str:
    """The flags with their defaults and meanings, a line each."""
    lines = ["usage: python -m serving.server [flags]", "Flags:"]
    for name, flag in FLAGS.items():
        lines.append(f"\t--{f'{name}={flag.default!r}':<60}\t{_kind(name)}\t{flag.metadata['help']}")
    return "\n".join(lines)


def _kind(name: str) -> str:
    return str(FLAGS[name].type)


def _value(name: str, text: str) -> object:
    kind = _kind(name)
    if kind == "str":
        return text
    if kind == "bool" and text.lower() in {"true", "1", "false", "0"}:
        return text.lower() in {"true", "1"}
    try:
        return {"int": int, "float": float}[kind](text)
    except (KeyError, ValueError):
        raise ConfigurationError(f"--{name}: expected a value of type {kind}, got {text!r}") from None
