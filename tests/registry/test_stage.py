"""From a decision to a version, in a real MLflow registry with a real audit log."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.contracts.handoffs.dataset import PreparedDataset
from cxr_tasks.contracts.handoffs.judgement import EvaluatedModel, GateDecision
from cxr_tasks.contracts.handoffs.training import TrainedModel
from cxr_tasks.contracts.recipes import load_recipe
from cxr_tasks.contracts.serving_contract import FILE_NAME
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.contracts.specs import PixelSpec
from cxr_tasks.images.version import PREPARE_VERSION
from cxr_tasks.installation.storage.files import read_json, reference_to, write_json
from cxr_tasks.installation.storage.paths import RunPaths
from cxr_tasks.register.stage import record_decision, register_candidate
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.version_files import read_contract
from tests.evaluations import make_evaluation, make_typicality

pytestmark = [pytest.mark.mlflow, pytest.mark.tf]

RECIPE = dataclasses.replace(load_recipe("synthetic_binary"), pixels=PixelSpec(size_px=16))
TRAINED_ON = PixelSpec(size_px=16, fit="crop")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One registry for all tests, and a model in its folder."""
    import keras

    folder = tmp_path_factory.mktemp("home")
    image = keras.Input((16, 16, 1))
    logits = keras.layers.Dense(1, name="head")(keras.layers.GlobalAveragePooling2D()(image))
    keras.Model(image, logits).save(folder / "model.keras")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CXR_HOME", str(folder / "var"))
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


def facts_of(model_sha256, threshold=0.5):
    """``metrics.json`` of that model."""
    serving = {"a": 1.0, "b": 0.0, "threshold": threshold, "operating_point": "youden", "reason": ""}
    return make_evaluation(model={"model_sha256": model_sha256}, serving={"pneumonia": serving}).to_json()


@pytest.fixture
def make_candidate(home, tmp_path):
    """What ``register_candidate`` takes, in its order, of a new MLflow run, with this verdict."""
    from cxr_tasks.registry import tracking

    def make(verdict="PASS"):
        with tracking.open_run("cxr_binary", "candidate") as log:
            run_id = log.run_id
        model = reference_to(home / "model.keras")
        write_json(tmp_path / "metrics.json", facts_of(model.sha256))
        metrics = reference_to(tmp_path / "metrics.json")
        write_json(tmp_path / "decision.json", {"metrics_sha256": metrics.sha256, "mlflow_run_id": run_id})
        trained = TrainedModel(
            model_name="cxr_binary", recipe_sha256=RECIPE.sha256, dataset_fingerprint="cd" * 32, mlflow_run_id=run_id,
            model=model, history=model, best_epoch=1, epochs_run=1, val_auroc=0.9, seconds=1.0,
        )  # fmt: skip
        evaluated = EvaluatedModel(
            model_name="cxr_binary", mlflow_run_id=run_id, predictions=metrics, metrics=metrics, test_auroc=0.95,
            test_auroc_lower=0.92, test_auroc_upper=None,
        )  # fmt: skip
        decision = GateDecision(
            model_name="cxr_binary", verdict=verdict, reasons=() if verdict == "PASS" else ("one.", "two."),
            decision=reference_to(tmp_path / "decision.json"), champion_version=None,
            dataset_fingerprint="cd" * 32, policy="cxr_binary 1", policy_sha256="ef" * 32,
        )  # fmt: skip
        record = {"pixels": plain(TRAINED_ON), "versions": {"prepare": PREPARE_VERSION}}
        write_json(tmp_path / "dataset" / "provenance.json", record)
        prepared = PreparedDataset(
            dataset="synthetic_binary", folder=str(tmp_path / "dataset"), fingerprint="cd" * 32, index=model,
            vocabulary="pneumonia", size_px=16, n_train=6, n_validation=2, n_test=2,
        )  # fmt: skip
        return trained, evaluated, decision, prepared, RECIPE, RunPaths(tmp_path / "run")

    return make


def logged(decision: GateDecision) -> list[tuple[str, int | None, str]]:
    return [
        (one.kind, one.version, one.detail["verdict"])
        for one in trail.entries("cxr_binary")
        if one.detail.get("decision_sha256") == decision.decision.sha256
    ]


def test_a_decision_stands_on_its_run_and_once_in_the_audit_log(make_candidate):
    from cxr_tasks.registry.tracking import client

    trained, _, decision, *_ = make_candidate("FAIL")
    for _ in range(2):  # a task that is tried again
        record_decision(decision, trained.mlflow_run_id, "a.okafor")
    tags = client().get_run(trained.mlflow_run_id).data.tags
    assert {name: value for name, value in tags.items() if name.startswith("gate.")} == {
        "gate.verdict": "FAIL",
        "gate.floor": "",
        "gate.reasons": "one. | two.",
        "gate.policy": "cxr_binary 1",
        "gate.policy_sha256": "ef" * 32,
        "gate.decision_sha256": decision.decision.sha256,
    }
    assert [one.path for one in client().list_artifacts(trained.mlflow_run_id, "gate")] == ["gate/decision.json"]
    assert logged(decision) == [("verdict", None, "FAIL")]
    entry = trail.entries("cxr_binary")[-1]
    assert (entry.who, entry.why, entry.fingerprint) == ("a.okafor", "one.; two.", "cd" * 32)


@pytest.mark.parametrize(("verdict", "alias"), [("PASS", "challenger"), ("NEEDS_HUMAN", "")])
def test_a_version_bears_its_verdict_and_challenger_only_on_pass(make_candidate, verdict, alias):
    from cxr_tasks.registry import versions

    made_of = make_candidate(verdict)
    decision = made_of[2]
    record_decision(decision, made_of[0].mlflow_run_id)
    registered = register_candidate(*made_of)
    assert register_candidate(*made_of) == registered
    assert registered.alias == alias
    tags = versions.version_tags("cxr_binary", registered.version)
    assert (tags["gate.verdict"], tags["gate.decision_sha256"]) == (verdict, decision.decision.sha256)
    assert tags["gate.policy"] == "cxr_binary 1"
    (found,) = (one for one in versions.model_versions("cxr_binary") if int(one.version) == registered.version)
    assert found.aliases == ([alias] if alias else [])
    assert logged(decision) == [("verdict", None, verdict), ("registered", registered.version, verdict)]


def test_what_was_registered_on_pass_may_serve_and_the_rest_not(make_candidate):
    from cxr_tasks.registry.permission import may_serve

    for verdict in ("PASS", "NEEDS_HUMAN"):
        made_of = make_candidate(verdict)
        record_decision(made_of[2], made_of[0].mlflow_run_id)
        assert may_serve("cxr_binary", register_candidate(*made_of).version).allowed == (verdict == "PASS")


def test_the_newest_decision_on_a_run_counts(make_candidate, tmp_path):
    """A gate that ran again, with its champion gone meanwhile, takes back what the first verdict allowed."""
    from cxr_tasks.registry import versions
    from cxr_tasks.registry.permission import may_serve

    trained, evaluated, first, *rest = made_of = make_candidate("PASS")
    record_decision(first, trained.mlflow_run_id)
    number = register_candidate(*made_of).version
    write_json(tmp_path / "again.json", {"metrics_sha256": evaluated.metrics.sha256})
    second = dataclasses.replace(
        first, verdict="NEEDS_HUMAN", reasons=("gone.",), decision=reference_to(tmp_path / "again.json")
    )
    record_decision(second, trained.mlflow_run_id)
    found = may_serve("cxr_binary", number)
    assert (found.allowed, "was judged again" in found.because) == (False, True)
    assert register_candidate(trained, evaluated, second, *rest).version == number
    assert "its gate verdict is NEEDS_HUMAN: gone." in may_serve("cxr_binary", number).because
    assert versions.version_with_alias("cxr_binary", versions.CHALLENGER) is None


def test_what_is_typical_travels_from_evaluation_into_the_version(make_candidate, tmp_path):
    from cxr_tasks.registry.version_files import load_version
    from cxr_tasks.statistics.typicality import fit

    rng = np.random.default_rng(0)
    fitted = fit(rng.normal(size=(60, 4)), rng.normal(size=(40, 4)))
    write_json(tmp_path / "typicality.json", plain(fitted))
    trained, evaluated, decision, *rest = make_candidate("PASS")
    reference = reference_to(tmp_path / "typicality.json")
    with_fit = dataclasses.replace(evaluated, typicality=reference)
    with pytest.raises(DataDefect, match="expected the typicality that was measured"):
        register_candidate(trained, with_fit, decision, *rest)
    facts = {**read_json(Path(evaluated.metrics.uri)), "typicality": make_typicality(fit_sha256=reference.sha256)}
    write_json(tmp_path / "measured.json", facts)
    metrics = reference_to(tmp_path / "measured.json")
    write_json(tmp_path / "judged.json", {"metrics_sha256": metrics.sha256})
    judged = dataclasses.replace(decision, decision=reference_to(tmp_path / "judged.json"))
    found = register_candidate(trained, dataclasses.replace(with_fit, metrics=metrics), judged, *rest)
    assert load_version("cxr_binary", found.version, tmp_path / "loaded").contract.typicality == fitted


@pytest.fixture
def registered_by_code_of_before(make_candidate, monkeypatch):
    """A candidate whose version was made when contracts did not say yet which preparation stored the pixels."""
    made_of = make_candidate("PASS")

    def written_then(contract, folder):
        facts = plain(contract)
        del facts["prepare_version"]
        write_json(folder / FILE_NAME, facts)
        return folder / FILE_NAME

    with monkeypatch.context() as former:
        former.setattr("cxr_tasks.registry.version_files.write_contract", written_then)
        former.setattr("cxr_tasks.register.stage.write_contract", written_then)
        return made_of, register_candidate(*made_of).version


def judged_again(made_of, tmp_path, threshold=0.5):
    """The same candidate, measured and judged anew."""
    trained, evaluated, first, *rest = made_of
    write_json(tmp_path / "metrics_again.json", {**facts_of(trained.model.sha256, threshold), "measured": "again"})
    metrics = reference_to(tmp_path / "metrics_again.json")
    write_json(tmp_path / "again.json", {"metrics_sha256": metrics.sha256})
    decision = dataclasses.replace(first, decision=reference_to(tmp_path / "again.json"))
    return trained, dataclasses.replace(evaluated, metrics=metrics), decision, *rest


def test_a_version_of_before_that_is_judged_again_keeps_its_files(registered_by_code_of_before, tmp_path):
    """After an upgrade that raised the policy: it is released from what was registered, byte by byte."""
    from cxr_tasks.registry.version_files import load_version

    made_of, number = registered_by_code_of_before
    before = load_version("cxr_binary", number, tmp_path / "before")
    again = judged_again(made_of, tmp_path)
    assert register_candidate(*again).version == number
    assert logged(again[2]) == [("registered", number, "PASS")]
    assert load_version("cxr_binary", number, tmp_path / "after").digests == before.digests


def test_a_version_whose_thresholds_come_out_otherwise_now_is_not_taken_for_the_one_judged(
    registered_by_code_of_before, tmp_path
):
    from cxr_tasks.registry import versions

    made_of, number = registered_by_code_of_before
    again = judged_again(made_of, tmp_path, threshold=0.6)
    with pytest.raises(DataDefect, match="found others in what was measured and judged now"):
        register_candidate(*again)
    tags = versions.version_tags("cxr_binary", number)
    assert tags["gate.decision_sha256"] == made_of[2].decision.sha256
    assert logged(again[2]) == []


def test_a_refused_candidate_is_not_registered(make_candidate):
    with pytest.raises(DataDefect, match="expected the verdict PASS or NEEDS_HUMAN, found FAIL; nothing"):
        register_candidate(*make_candidate("FAIL"))


def test_another_model_file_than_was_judged_is_not_registered(make_candidate, tmp_path):
    trained, *rest = make_candidate()
    (tmp_path / "other.keras").write_bytes(Path(trained.model.uri).read_bytes() + b" ")
    other = dataclasses.replace(trained, model=reference_to(tmp_path / "other.keras"))
    with pytest.raises(DataDefect, match="expected a decision on the model file with sha256"):
        register_candidate(other, *rest)


def test_other_metrics_than_were_judged_are_not_registered(make_candidate, tmp_path):
    trained, evaluated, *rest = make_candidate()
    write_json(tmp_path / "better.json", facts_of(trained.model.sha256, 0.4))
    better = dataclasses.replace(evaluated, metrics=reference_to(tmp_path / "better.json"))
    with pytest.raises(DataDefect, match="expected a decision on the metrics with sha256"):
        register_candidate(trained, better, *rest)


def test_the_contract_has_the_pixels_of_the_dataset_that_was_trained_on(make_candidate, tmp_path):
    """Not the recipe's, which may have been changed since, or may ask for another fit of the same size."""
    register_candidate(*make_candidate())
    written = read_contract(tmp_path / "run" / "register" / FILE_NAME)
    assert RECIPE.pixels != TRAINED_ON == written.pixels
    assert written.prepare_version == PREPARE_VERSION


def test_a_candidate_is_not_registered_with_another_dataset(make_candidate):
    trained, *others = make_candidate()
    with pytest.raises(DataDefect, match="expected the dataset that it was trained on, efefefefefef"):
        register_candidate(dataclasses.replace(trained, dataset_fingerprint="ef" * 32), *others)
