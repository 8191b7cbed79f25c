"""The messages of TensorFlow Serving's API that this client speaks, without TensorFlow.

The stubs of ``tensorflow-serving-api`` import all of TensorFlow, seconds long. A message on the wire is numbers of
fields and their types, so these few are declared here by the numbers of the published .proto files
(tensorflow/core/framework/{tensor,tensor_shape}.proto, tensorflow/core/protobuf/meta_graph.proto,
tensorflow_serving/apis/{model,predict,get_model_status,get_model_metadata}.proto), in a pool of their own, where they
meet no other declaration. A test holds the bytes against those of the stubs. Enumerations are declared as the int32
that they are on the wire; fields that nothing here reads are left out, as protobuf allows.
"""

from __future__ import annotations

import functools
from typing import Any

#: Message -> its fields: number, name, type. ``[]`` marks a repeated field, ``{}`` a map from strings.
_MESSAGES = {
    "Dim": ((1, "size", "int64"),),
    "TensorShape": ((2, "dim", "Dim[]"),),
    "Tensor": (
        (1, "dtype", "int32"),
        (2, "tensor_shape", "TensorShape"),
        (4, "tensor_content", "bytes"),
        (5, "float_val", "float[]"),
        (6, "double_val", "double[]"),
        (7, "int_val", "int32[]"),
        (8, "string_val", "bytes[]"),
        (10, "int64_val", "int64[]"),
        (11, "bool_val", "bool[]"),
    ),
    "Number": ((1, "value", "int64"),),
    "ModelSpec": (
        (1, "name", "string"),
        (2, "version", "Number"),
        (3, "signature_name", "string"),
        (4, "version_label", "string"),
    ),
    "PredictRequest": (
        (1, "model_spec", "ModelSpec"),
        (2, "inputs", "Tensor{}"),
        (3, "output_filter", "string[]"),
    ),
    "PredictResponse": ((1, "outputs", "Tensor{}"), (2, "model_spec", "ModelSpec")),
    "Status": ((1, "error_code", "int32"), (2, "error_message", "string")),
    "VersionStatus": ((1, "version", "int64"), (2, "state", "int32"), (3, "status", "Status")),
    "StatusRequest": ((1, "model_spec", "ModelSpec"),),
    "StatusResponse": ((1, "model_version_status", "VersionStatus[]"),),
    "MetadataRequest": ((1, "model_spec", "ModelSpec"), (2, "metadata_field", "string[]")),
    "Any": ((1, "type_url", "string"), (2, "value", "bytes")),
    "MetadataResponse": ((1, "model_spec", "ModelSpec"), (2, "metadata", "Any{}")),
    "TensorInfo": ((2, "dtype", "int32"),),
    "Signature": ((1, "inputs", "TensorInfo{}"), (2, "outputs", "TensorInfo{}")),
    "SignatureMap": ((1, "signature_def", "Signature{}"),),
}
_PACKAGE = "cxr.client"

FLOAT, DOUBLE, INT32, STRING, INT64, BOOL = 1, 2, 3, 7, 9, 10
#: Types of outputs that a served model may have: number -> name in numpy, the field that holds values one by one.
TYPES = {
    FLOAT: ("float32", "float_val"),
    DOUBLE: ("float64", "double_val"),
    INT32: ("int32", "int_val"),
    INT64: ("int64", "int64_val"),
    BOOL: ("bool", "bool_val"),
    STRING: ("object", "string_val"),
}
#: How the REST API calls the types.
TYPE_NUMBERS = {
    "DT_FLOAT": FLOAT,
    "DT_DOUBLE": DOUBLE,
    "DT_INT32": INT32,
    "DT_INT64": INT64,
    "DT_BOOL": BOOL,
    "DT_STRING": STRING,
}
#: ModelVersionStatus.State
STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


@functools.cache
def message_class(name: str) -> Any:
    """The class of a message, made at its first use."""
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@functools.cache
def _pool() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool

    file = descriptor_pb2.FileDescriptorProto(name="cxr_client.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field_name, kind in fields:
            _add_field(message, number, field_name, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add_field(message: Any, number: int, name: str, kind: str) -> None:
    plain = kind.rstrip("[]{}")
    field = message.field.add(name=name, number=number, label=3 if plain != kind else 1)
    if kind.endswith("{}"):
        # A map is a repeated message of key and value.
        entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        _add_field(entry, 1, "key", "string")
        _add_field(entry, 2, "value", plain)
        field.type, field.type_name = 11, f".{_PACKAGE}.{message.name}.{entry.name}"
    elif plain in _MESSAGES:
        field.type, field.type_name = 11, f".{_PACKAGE}.{plain}"
    else:
        field.type = type(field).Type.Value(f"TYPE_{plain.upper()}")
