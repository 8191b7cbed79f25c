from __future__ import annotations

import json

import pytest

from cxr_tasks.contracts.artifacts import ArtifactRef
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.handoffs.dataset import IngestedStudies, PreparedDataset
from cxr_tasks.contracts.handoffs.judgement import GateDecision
from cxr_tasks.contracts.handoffs.training import PlannedCandidate, TrainedModel, TrainingPlan

REF = ArtifactRef(uri="/data/file", sha256="ab" * 32)
DATASET = PreparedDataset(
    dataset="kermany",
    folder="/data/x",
    fingerprint="cd" * 32,
    index=REF,
    vocabulary="pneumonia",
    size_px=64,
    n_train=6,
    n_validation=2,
    n_test=2,
)
EXAMPLES = [
    IngestedStudies(
        dataset="kermany", root="/data", manifest=REF, quarantine=REF, n_images=10, n_patients=8, n_quarantined=1
    ),
    DATASET,
    TrainingPlan(
        model_name="cxr_binary",
        run_name="kermany_cnn manual__1",
        recipe={"name": "kermany_cnn", "candidates": [{"train.seed": 1}]},
        datasets=(DATASET,),
        candidates=(
            PlannedCandidate(
                number=1, name="seed=1", settings={"train.seed": 1, "train.network_options": {"widths": [4]}}
            ),
            PlannedCandidate(number=2, name="proposal 2", settings=None),
        ),
        parent_run_id=None,
        tags={"cxr.dag_run_id": "manual__1"},
    ),
    TrainedModel(
        model_name="cxr_binary",
        recipe_sha256="ab" * 32,
        dataset_fingerprint="cd" * 32,
        mlflow_run_id="r1",
        model=REF,
        history=REF,
        best_epoch=2,
        epochs_run=4,
        val_auroc=0.9,
        val_auroc_lower=0.8,
        val_auroc_upper=0.95,
        seconds=1.5,
        candidate=2,
        candidate_name="seed=1",
        settings={"train.seed": 1},
        validation=REF,
        stopped_by="10 minutes have passed",
        was_ended_early=True,
    ),
    GateDecision(
        model_name="cxr_binary",
        verdict="NEEDS_HUMAN",
        reasons=("too low", "too few"),
        decision=REF,
        champion_version=None,
        dataset_fingerprint="cd" * 32,
        policy="cxr_binary 1",
        policy_sha256="ef" * 32,
    ),
]


@pytest.mark.parametrize("handoff", EXAMPLES, ids=lambda one: type(one).__name__)
def test_payload_is_json_and_comes_back_equal(handoff):
    payload = json.loads(json.dumps(handoff.to_payload()))
    assert type(handoff).from_payload(payload) == handoff


def test_a_verdict_is_one_of_three():
    with pytest.raises(ConfigurationError, match="'PASSED' is not known; did you mean 'PASS'?"):
        GateDecision.from_payload({**EXAMPLES[-1].to_payload(), "verdict": "PASSED"})


def test_missing_and_unknown_keys_are_named():
    payload = EXAMPLES[0].to_payload()
    del payload["n_images"]
    with pytest.raises(ConfigurationError, match="IngestedStudies: 'n_images' is missing"):
        IngestedStudies.from_payload(payload)
    with pytest.raises(ConfigurationError, match="'n_image' is not known; did you mean 'n_images'"):
        IngestedStudies.from_payload({**EXAMPLES[0].to_payload(), "n_image": 3})
