from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ReleaseRefused, ServiceUnavailable

pytestmark = [pytest.mark.tf, pytest.mark.serving]


def test_a_good_version_passes_in_a_server_of_its_own(exported, small_model, contract, tmp_path):
    from serving.check import check_server, in_process_probabilities
    from serving.server_process import model_server

    def own(images):
        return in_process_probabilities(small_model, contract, images)

    with model_server("cxr_binary", exported.parent, tmp_path / "log") as server:
        parity = check_server(server, 3, contract, own)
        assert parity.largest_difference < 1e-5
        assert {"serving_default", "explain"} <= set(parity.signatures)
        assert parity.n_images == 13
        # The answers of another model are refused.
        with pytest.raises(ReleaseRefused, match=r"found a difference of 0\.1"):
            check_server(server, 3, contract, lambda images: own(images) + 0.1)
    assert server.process.poll() is not None, "the server outlived its block"


def test_a_broken_version_is_named_with_the_servers_reason(tmp_path, contract):
    from serving.check import check_server
    from serving.server_process import model_server

    broken = tmp_path / "cxr_binary" / "4"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"junk")
    with (
        model_server("cxr_binary", broken.parent, tmp_path / "log") as server,
        pytest.raises((ReleaseRefused, ServiceUnavailable), match="version 4|ended with code 255"),
    ):
        check_server(server, 4, contract, lambda images: np.zeros((len(images), 1)))


def test_missing_and_mistyped_outputs_are_named():
    import tensorflow as tf

    from serving.check import PROMISED_OUTPUTS, check_signatures

    good = {
        name: {
            "inputs": {"image_bytes": tf.string.as_datatype_enum},
            "outputs": {output: dtype.as_datatype_enum for output, dtype in outputs.items()},
        }
        for name, outputs in PROMISED_OUTPUTS.items()
    }
    check_signatures(good)
    with pytest.raises(ReleaseRefused, match="expected a signature 'explain', found serving_default"):
        check_signatures({"serving_default": good["serving_default"]})
    typed = {**good["serving_default"]["outputs"], "decisions": tf.float32.as_datatype_enum}
    with pytest.raises(ReleaseRefused, match="expected the output 'decisions' as bool, found float32"):
        check_signatures({**good, "serving_default": {**good["serving_default"], "outputs": typed}})


def test_decisions_must_follow_the_thresholds(contract):
    from serving.check import compare

    probabilities = np.array([[0.2], [0.9]], np.float32)
    labels = np.array([[b"pneumonia"], [b"pneumonia"]], object)
    outputs = {"probabilities": probabilities, "decisions": np.array([[False], [True]]), "labels": labels}
    assert compare(outputs, probabilities.astype(float), contract) == 0.0
    with pytest.raises(ReleaseRefused, match="probability >= threshold"):
        compare({**outputs, "decisions": np.array([[True], [True]])}, probabilities.astype(float), contract)
    other = dataclasses.replace(contract, decisions=(dataclasses.replace(contract.decisions[0], finding="mass"),))
    with pytest.raises(ReleaseRefused, match=r"labels: expected \['mass'\]"):
        compare(outputs, probabilities.astype(float), other)
