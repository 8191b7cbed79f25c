"""Configuration messages that the ``tensorflow-serving-api`` package leaves out, described here field by field."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "tensorflow.serving"


def _add_message(file: descriptor_pb2.FileDescriptorProto, name: str, fields: list[tuple[str, int, int, str]]) -> None:
    """Adds message ``name``; a field is its name, number, type and, for messages, the type's full name."""
    message = file.message_type.add(name=name)
    for field_name, number, kind, type_name in fields:
        label = _Field.LABEL_REPEATED if field_name == "allowed_batch_sizes" else _Field.LABEL_OPTIONAL
        field = message.field.add(name=field_name, number=number, type=kind, label=label)  # type: ignore[arg-type]
        if type_name:
            field.type_name = type_name


def _pool() -> descriptor_pool.DescriptorPool:
    # A pool of its own: the default one would refuse these names once the package brings them itself.
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name="serving_config.proto", package=_PACKAGE, syntax="proto3")
    _add_message(file, "PrometheusConfig", [("enable", 1, _Field.TYPE_BOOL, ""), ("path", 2, _Field.TYPE_STRING, "")])
    prometheus = ("prometheus_config", 1, _Field.TYPE_MESSAGE, f".{_PACKAGE}.PrometheusConfig")
    _add_message(file, "MonitoringConfig", [prometheus])
    for name, kind in (("Int64Value", _Field.TYPE_INT64), ("StringValue", _Field.TYPE_STRING)):
        _add_message(file, name, [("value", 1, kind, "")])
    wrapped = f".{_PACKAGE}.Int64Value"
    _add_message(
        file,
        "BatchingParameters",
        [
            ("max_batch_size", 1, _Field.TYPE_MESSAGE, wrapped),
            ("batch_timeout_micros", 2, _Field.TYPE_MESSAGE, wrapped),
            ("max_enqueued_batches", 3, _Field.TYPE_MESSAGE, wrapped),
            ("num_batch_threads", 4, _Field.TYPE_MESSAGE, wrapped),
            ("thread_pool_name", 5, _Field.TYPE_MESSAGE, f".{_PACKAGE}.StringValue"),
            ("allowed_batch_sizes", 6, _Field.TYPE_INT64, ""),
            ("pad_variable_length_inputs", 7, _Field.TYPE_BOOL, ""),
        ],
    )
    _add_message(
        file,
        "SSLConfig",
        [
            ("server_key", 1, _Field.TYPE_STRING, ""),
            ("server_cert", 2, _Field.TYPE_STRING, ""),
            ("custom_ca", 3, _Field.TYPE_STRING, ""),
            ("client_verify", 4, _Field.TYPE_BOOL, ""),
        ],
    )
    pool.Add(file)
    return pool


_POOL = _pool()


def new_monitoring_config() -> Message:
    """An empty ``MonitoringConfig``."""
    return _new("MonitoringConfig")


def new_batching_parameters() -> Message:
    """An empty ``BatchingParameters``."""
    return _new("BatchingParameters")


def new_ssl_config() -> Message:
    """An empty ``SSLConfig``."""
    return _new("SSLConfig")


def _new(name: str) -> Message:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))()
