"""The server's configuration files: text-format protos read and checked before anything is changed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypeAlias, TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.config import model_server_config_pb2

from serving.server import text_protos
from serving.server.status import StatusError
from serving.server.storage import Watched

log = logging.getLogger(__name__)

PLATFORM = "tensorflow"
METRICS_PATH = "/monitoring/prometheus/metrics"
ModelConfig: TypeAlias = model_server_config_pb2.ModelConfig
ModelServerConfig: TypeAlias = model_server_config_pb2.ModelServerConfig
Proto = TypeVar("Proto", bound=Message)


def read_text_proto(path: str, message: Proto) -> Proto:
    """``message`` filled from the text-format file ``path``.

    Raises:
        StatusError: ``NOT_FOUND`` without the file, ``INVALID_ARGUMENT`` for an empty or malformed one.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise StatusError("NOT_FOUND", f"{path}; {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StatusError("INVALID_ARGUMENT", f"Invalid protobuf file: '{path}'") from error
    if not text.strip():
        raise StatusError("INVALID_ARGUMENT", f"{path}; Invalid argument")
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        parsed_as = message.DESCRIPTOR.full_name
        log.error("Error parsing text-format %s in %s: %s", parsed_as, path, error)  # noqa: TRY400 - one clean line
        raise StatusError("INVALID_ARGUMENT", f"Invalid protobuf file: '{path}'") from error


def read_model_config(path: str) -> ModelServerConfig:
    """The models to serve from ``--model_config_file``.

    Raises:
        StatusError: As ``read_text_proto``.
    """
    return read_text_proto(path, ModelServerConfig())


def config_of_one_model(name: str, base_path: str) -> ModelServerConfig:
    """The configuration that ``--model_name`` and ``--model_base_path`` stand for."""
    config = ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def check_models(config: ModelServerConfig) -> list[ModelConfig]:
    """The models of ``config``, each listed once and with an absolute base path.

    Raises:
        StatusError: ``INVALID_ARGUMENT``; nothing has been changed.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise StatusError(
            "INVALID_ARGUMENT",
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported",
        )
    models = list(config.model_config_list.config)
    names: set[str] = set()
    for model in models:
        if model.name in names:
            raise StatusError("INVALID_ARGUMENT", f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
    for model in models:
        if not model.base_path.startswith("/"):
            raise StatusError(
                "INVALID_ARGUMENT",
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}",
            )
    return models


def platform_of(model: ModelConfig) -> str:
    """The platform that ``model`` asks for, in the new field or the old one.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` where it asks for none, in both fields, or for an unknown old type.
    """
    unset = model_server_config_pb2.MODEL_TYPE_UNSPECIFIED
    if model.model_type != unset and model.model_platform:
        kind = "both ModelServerConfig::model_type (deprecated) and"
    elif model.model_type == unset and not model.model_platform:
        kind = "neither ModelServerConfig::model_type (deprecated) nor"
    elif model.model_type not in {unset, model_server_config_pb2.TENSORFLOW}:
        text = f"ModelServerConfig::model_type choice {model.model_type} not supported."
        raise StatusError("INVALID_ARGUMENT", text)
    else:
        return str(model.model_platform or PLATFORM)
    raise StatusError(
        "INVALID_ARGUMENT", f"Illegal setting {kind} ModelServerConfig::model_platform, model name is {model.name}"
    )


def check_platforms(models: list[ModelConfig], served: dict[str, str]) -> dict[str, str]:
    """The platform of each of ``models``; ``served`` are the platforms so far.

    Raises:
        StatusError: ``INVALID_ARGUMENT`` where a served model changes its platform or one is not ``tensorflow``.
    """
    platforms = {model.name: platform_of(model) for model in models}
    for name, platform in platforms.items():
        if served.get(name, platform) != platform:
            raise StatusError(
                "INVALID_ARGUMENT",
                f"Illegal to change a model's platform. For model {name} platform was {served[name]} and new platform "
                f"requested is {platform}",
            )
        if platform != PLATFORM:
            raise StatusError("INVALID_ARGUMENT", f"Model {name} requests unsupported platform {platform}")
    return platforms


def watched_models(models: list[ModelConfig]) -> dict[str, Watched]:
    """What to watch on disk for ``models``."""
    return {model.name: Watched(Path(model.base_path), model.model_version_policy) for model in models}


def read_metrics_path(file: str) -> str | None:
    """Where the Prometheus page is, from ``--monitoring_config_file``; None where it is off.

    Raises:
        StatusError: As ``read_text_proto``.
    """
    if not file:
        return None
    prometheus = read_text_proto(file, text_protos.new_monitoring_config()).prometheus_config  # type: ignore[attr-defined]
    return (prometheus.path or METRICS_PATH) if prometheus.enable else None
