from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from cxr_tasks.contracts.errors import ReleaseRefused, ServiceUnavailable

pytestmark = [pytest.mark.tf, pytest.mark.serving]


@pytest.fixture
def own(small_model, contract):
    """What the model itself answers."""
    from serving.check.check import in_process_answers

    return lambda images: in_process_answers(small_model, contract, images)


def test_a_good_version_passes_beside_the_one_that_serves(exported, own, contract, tmp_path, cxr_home):
    from serving.check.check import check_server
    from serving.check.check_process import check_process
    from serving.export.golden import golden_images
    from serving.served.version_folders import publish

    images = list(golden_images().values())
    publish(exported, "cxr_binary", 2)
    base_path = tmp_path / "exports"
    with check_process("cxr_binary", 3, base_path, tmp_path) as server:
        # As in a release: the server waits for what is still being exported.
        publish_whole(exported, base_path / "3")
        parity = check_server(server, contract, own, max_ratio=20)
        assert parity.largest_difference < 1e-5
        assert {"serving_default", "explain"} <= set(parity.signatures)
        assert (parity.n_images, parity.n_warmup_requests) == (13, 6)
        assert parity.latency.former_version == 2
        assert parity.latency.median_ms > 0
        assert parity.latency.former_median_ms > 0
        # The answers of another model are refused, and so is one that takes longer than it may.
        with pytest.raises(ReleaseRefused, match=r"found a difference of 0\.1"):
            other = dataclasses.replace(own(images), probabilities=own(images).probabilities + 0.1)
            check_server(server, contract, lambda _: other, max_ratio=20)
        with pytest.raises(ReleaseRefused, match=r"within 0\.001 times that of version 2"):
            check_server(server, contract, own, max_ratio=0.001)
    assert server.process.process.poll() is not None, "the server outlived its block"


def test_a_version_in_bfloat16_answers_as_the_network_that_was_exported(small_model, own, contract, tmp_path, cxr_home):
    from serving.check.check import check_server, in_process_answers
    from serving.check.check_process import check_process
    from serving.export.golden import golden_images
    from serving.export.lean import BF16
    from serving.export.saved_model import export_saved_model

    images = list(golden_images().values())
    rounded = in_process_answers(small_model, contract, images, BF16)
    assert np.abs(rounded.probabilities - own(images).probabilities).max() > 1e-5, "nothing was rounded"
    aside = export_saved_model(small_model, contract, tmp_path / ".3", precision=BF16)
    (tmp_path / "exports").mkdir()
    with check_process("cxr_binary", 3, tmp_path / "exports", tmp_path) as server:
        aside.rename(tmp_path / "exports" / "3")
        parity = check_server(
            server, contract, lambda asked: in_process_answers(small_model, contract, asked, BF16), max_ratio=20
        )
    assert parity.largest_difference < 1e-3


def test_a_broken_version_is_named_with_the_servers_reason(tmp_path, own, contract, cxr_home, exported):
    from serving.check.check import check_server
    from serving.check.check_process import check_process

    broken = shutil.copytree(exported, tmp_path / "cxr_binary" / "4")
    (broken / "saved_model.pb").write_bytes(b"junk")
    with (
        check_process("cxr_binary", 4, broken.parent, tmp_path) as server,
        pytest.raises((ReleaseRefused, ServiceUnavailable), match="version 4|ended with code 255"),
    ):
        check_server(server, contract, own, max_ratio=2)


def test_a_version_without_warm_up_is_refused(tmp_path):
    from serving.check.check import count_warmup

    with pytest.raises(ReleaseRefused, match="expected warm-up requests, found none"):
        count_warmup(tmp_path / "absent")


def publish_whole(exported, target) -> None:
    aside = shutil.copytree(exported, target.parent / f".{target.name}")
    aside.rename(target)


def test_missing_and_mistyped_outputs_are_named():
    import tensorflow as tf

    from serving.check.check import PROMISED_OUTPUTS, check_signatures

    good = {
        name: {
            "inputs": {"image_bytes": tf.string.as_datatype_enum},
            "outputs": {output: dtype.as_datatype_enum for output, dtype in outputs.items()},
        }
        for name, outputs in PROMISED_OUTPUTS.items()
    }
    check_signatures(good)
    with pytest.raises(ReleaseRefused, match="expected a signature 'lenient', found serving_default"):
        check_signatures({"serving_default": good["serving_default"]})
    typed = {**good["serving_default"]["outputs"], "decisions": tf.float32.as_datatype_enum}
    with pytest.raises(ReleaseRefused, match="expected the output 'decisions' as bool, found float32"):
        check_signatures({**good, "serving_default": {**good["serving_default"], "outputs": typed}})


def test_typicality_is_promised_where_the_contract_has_it_and_only_there(contract):
    from serving.check.check import promised_outputs

    assert all({"typicality", "is_unusual"} <= set(outputs) for outputs in promised_outputs(contract).values())
    before = promised_outputs(dataclasses.replace(contract, typicality=None))
    assert not any({"typicality", "is_unusual"} & set(outputs) for outputs in before.values())


def test_typicality_must_be_the_models_own_and_unusual_what_it_says():
    from serving.check.check import compare_typicality

    own = np.array([0.5, 0.001])
    good = {"typicality": own.astype(np.float32), "is_unusual": np.array([False, True])}
    compare_typicality(good, own)
    compare_typicality({}, None)
    with pytest.raises(ReleaseRefused, match=r"found a difference of 0\.1"):
        compare_typicality(good, own + 0.1)
    with pytest.raises(ReleaseRefused, match="expected typicality < 0.01"):
        compare_typicality({**good, "is_unusual": np.array([True, True])}, own)


def test_decisions_must_follow_the_thresholds(contract):
    from serving.check.check import compare

    probabilities = np.array([[0.2], [0.9]], np.float32)
    labels = np.array([[b"pneumonia"], [b"pneumonia"]], object)
    outputs = {"probabilities": probabilities, "decisions": np.array([[False], [True]]), "labels": labels}
    assert compare(outputs, probabilities.astype(float), contract) == 0.0
    with pytest.raises(ReleaseRefused, match="probability >= threshold"):
        compare({**outputs, "decisions": np.array([[True], [True]])}, probabilities.astype(float), contract)
    other = dataclasses.replace(contract, decisions=(dataclasses.replace(contract.decisions[0], finding="mass"),))
    with pytest.raises(ReleaseRefused, match=r"labels: expected \['mass'\]"):
        compare(outputs, probabilities.astype(float), other)
