"""The policy that a candidate is asked: its section, and one that cannot be read."""

from __future__ import annotations

import dataclasses

import pytest

from cxr_tasks.gate.stage import gate_candidate
from tests.gate.builders import make_scores
from tests.gate.stage.evaluated import evaluated, outcomes, written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "expected a policy of the gate, found No such file"),
        ("version: [", "expected YAML"),
        ("version: 1\ndefault: {mean: {aurok: {at_least: 0.9}}, served: {}}", "did you mean 'auroc'"),
    ],
)
def test_a_policy_that_cannot_be_read_is_a_fail(recipe, paths, tmp_path, text, said):
    policies = tmp_path / "policies"
    policies.mkdir()
    if text is not None:
        (policies / "cxr_binary.yaml").write_text(text)
    decision = gate_candidate(evaluated(tmp_path, make_scores()), recipe, None, paths, policies)
    assert (decision.verdict, outcomes(decision)) == ("FAIL", {"policy": "FAIL"})
    assert said in decision.reasons[0]
    found = written(decision)
    assert (found["policy"], found["asked"], decision.policy, decision.policy_sha256) == (None, None, "", "")


def test_a_dataset_without_a_section_is_asked_the_default(recipe, paths, tmp_path):
    elsewhere = dataclasses.replace(recipe, dataset=dataclasses.replace(recipe.dataset, name="elsewhere"))
    decision = gate_candidate(evaluated(tmp_path, make_scores()), elsewhere, None, paths)
    assert written(decision)["policy_section"] == "default"
