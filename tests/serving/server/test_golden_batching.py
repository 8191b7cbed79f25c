"""The recorded groups of concurrent requests to a real server that batches, replayed with ours."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytestmark = [pytest.mark.serving, pytest.mark.tf]

SETUPS = ("batching", "batching_pad", "batching_default", "batching_per_model", "threads", "batching_abort")
BATCH_TIMEOUT_S = 0.2
#: Requests that were recorded as one batch are sent at the same moment; a busy machine now and then parts them. What
#: ours answers otherwise it answers otherwise each time.
TRIES = 8
EARLIEST, LATEST = 0.4, 2.0  # in batch timeouts; late is the machine's affair, early would be a fault of ours

# A lone empty batch hangs in the real server, and one that joins others aborts it: ours refuses it.
NO_ROWS = ("INVALID_ARGUMENT", "Batching Run() input tensors must have at least one row, got none")
OTHERWISE = {
    "lone empty batch never answers": [NO_ROWS],
    "default: empty batch": [NO_ROWS],
    "empty batch joins a batch that needs padding": None,  # the one with rows is served, see the test of its own
}


@pytest.mark.parametrize("setup", SETUPS)
def test_recorded_groups_are_answered_alike(golden, setup_server, call, differences, setup):
    mine = [one for one in records(golden) if one["setup"] == setup]
    assert mine
    server = setup_server(setup)
    warm_up(call, server)
    found = []
    for record in mine:
        for _ in range(TRIES):
            answers, elapsed_s = send(call, server, record)
            if not (why := difference(record, answers, elapsed_s, differences)):
                break
        found += [f"{record['case']}: {why}"] if why else []
    assert not found, "\n".join(found)


def test_every_recorded_group_is_replayed(golden):
    assert {one["setup"] for one in records(golden)} == set(SETUPS)
    assert set(OTHERWISE) <= {one["case"] for one in records(golden)}


def warm_up(call, server) -> None:
    """One unrecorded request of 8 rows to each of the two models whose time is compared."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    for name in ("toy", "slow"):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([[0.0] * 3] * 8, dtype=tf.float32))
        call(server, "tensorflow.serving.PredictionService", "Predict", request.SerializeToString())


def records(golden) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (golden / "batching.jsonl").read_text().splitlines()]


def send(call, server, record) -> tuple[list[tuple[str, str, bytes | None]], float]:
    requests = [base64.b64decode(one or "") for one in record["requests"]] * record.get("copies", 1)
    spent: list[float] = []

    def one(position: int) -> tuple[str, str, bytes | None]:
        time.sleep(position * record.get("stagger_ms", 0) / 1000)
        begin = time.monotonic()
        answer = call(server, record["service"], record["method"], requests[position], record["client_deadline_s"])
        spent.append(time.monotonic() - begin)
        return answer

    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(one, range(len(requests))))
    if "outcome_set" in record or record["client_deadline_s"] < 1:
        time.sleep(0.5)
    return answers, max(spent)


def difference(record, answers, elapsed_s, differences) -> str:
    said = [(code, message) for code, message, _ in answers]
    if record["case"] in OTHERWISE:
        wanted = OTHERWISE[record["case"]] or [NO_ROWS, ("OK", "")]
        return "" if sorted(said) == sorted(wanted) else f"{said} instead of our own {wanted}"
    if "outcome_set" in record:
        wanted = {(one["code"], one["message"]) for one in record["outcome_set"]}
        return "" if set(said) == wanted else f"{set(said)} instead of {wanted}"
    for answer, outcome in zip(answers, record["outcomes"], strict=True):
        if why := differences({"response": None, "method": record["method"]} | outcome, *answer):
            return why
    if "elapsed_over_batch_timeout" in record:
        elapsed = elapsed_s / BATCH_TIMEOUT_S
        if (
            not record["elapsed_over_batch_timeout"] - EARLIEST
            < elapsed
            < record["elapsed_over_batch_timeout"] + LATEST
        ):
            return f"took {elapsed:.2f} batch timeouts instead of {record['elapsed_over_batch_timeout']}"
    return ""
