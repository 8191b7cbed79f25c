"""Every recorded gRPC call of a real server, replayed against ours.

What ours answers differently on purpose stands in ``OTHERWISE`` with the reason and what it answers instead.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.serving, pytest.mark.tf]

FILES = (
    "predict",
    "get_model_metadata",
    "get_model_status",
    "health",
    "unimplemented",
    "reload",
    "classify",
    "regress",
    "multi_inference",
)
GROUPS = [
    *((name, "plain") for name in FILES if name != "reload"),
    *(("predict", setup) for setup in ("latest", "tensor_content", "method_check")),
    *((name, "latest") for name in ("get_model_metadata", "get_model_status")),
    *((name, "method_check") for name in ("classify", "regress", "multi_inference")),
    ("health", "health"),
    ("reload", "reload"),
]

# (file, case) -> (code, start of the message): the real server guesses, ours refuses.
TOO_FEW_OR_MANY = "tensor parsing error: {}: expected {} values in {} (or one for all), got {}"
OTHERWISE = {
    ("predict", case): ("INVALID_ARGUMENT", message)
    for case, message in {
        "float_val short: last repeats": TOO_FEW_OR_MANY.format("x", 6, "float_val", 4),
        "float_val too long": TOO_FEW_OR_MANY.format("x", 6, "float_val", 7),
        "float_val none: zeros": TOO_FEW_OR_MANY.format("x", 6, "float_val", 0),
        "int_val for float": TOO_FEW_OR_MANY.format("x", 6, "float_val", 0),
        "double_val for float": TOO_FEW_OR_MANY.format("x", 6, "float_val", 0),
        "text string_val short repeats": TOO_FEW_OR_MANY.format("t", 3, "string_val", 2),
        "text string_val too long": TOO_FEW_OR_MANY.format("t", 1, "string_val", 2),
        "text none": TOO_FEW_OR_MANY.format("t", 2, "string_val", 0),
        "scalar_in given no values": TOO_FEW_OR_MANY.format("z", 1, "float_val", 0),
        "kinds int64 int_val": TOO_FEW_OR_MANY.format("v", 2, "int64_val", 0),
        "kinds bool int_val": TOO_FEW_OR_MANY.format("v", 2, "bool_val", 0),
        "anyrank unknown rank shape": TOO_FEW_OR_MANY.format("x", 1, "float_val", 2),
        "kinds int8 int_val out of range": "tensor parsing error: v: a value in int_val is outside [-128, 127]",
        "kinds uint8 int_val out of range": "tensor parsing error: v: a value in int_val is outside [0, 255]",
    }.items()
}

# The recording was made without oneDNN, whose matrix product refuses these shapes in other words.
TEXTS_OF_ANOTHER_KERNEL = {"wrong shape rank 3", "rank 9 ones"}


def records(golden: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (golden / "transcripts" / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("name", "setup"), GROUPS)
def test_recorded_calls_are_answered_alike(golden, base, setup_server, call, differences, name, setup):
    mine = [one for one in records(golden, name) if one["setup"] == setup]
    assert mine
    server = setup_server(setup)
    found = []
    for recorded in mine:
        by_code_only = recorded["case"] in TEXTS_OF_ANOTHER_KERNEL
        record = recorded | {"match": "code"} if by_code_only else recorded
        request = with_base(base64.b64decode(record["request"] or ""), record["method"], base)
        code, message, answer = call(server, record["service"], record["method"], request)
        if (name, record["case"]) in OTHERWISE:
            wanted_code, start = OTHERWISE[name, record["case"]]
            if code != wanted_code or not message.startswith(start):
                found.append(f"{record['case']}: {code} {message!r} instead of our own {wanted_code} {start!r}")
        elif why := differences(record, code, message, answer):
            found.append(f"{record['case']}: {why}")
    assert not found, "\n".join(found)


def with_base(request: bytes, method: str, base: Path) -> bytes:
    """``request`` with the real folder for ``$BASE`` in the base paths of a reload."""
    if method != "HandleReloadConfigRequest":
        return request
    from tensorflow_serving.apis import model_management_pb2

    message = model_management_pb2.ReloadConfigRequest.FromString(request)
    for model in message.config.model_config_list.config if message.HasField("config") else ():
        model.base_path = model.base_path.replace("$BASE", str(base))
    return message.SerializeToString()


def test_every_recorded_call_is_replayed(golden):
    assert {(name, one["setup"]) for name in FILES for one in records(golden, name)} == set(GROUPS)
    assert {path.stem for path in (golden / "transcripts").glob("*.jsonl")} == set(FILES)
    assert not [key for key in OTHERWISE if key[1] not in {one["case"] for one in records(golden, key[0])}]
