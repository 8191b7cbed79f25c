"""The candidate against the champion, and a champion that could not be scored."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_tasks.contracts.handoffs.judgement import ChampionEvidence
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.evaluate.assess import assess
from cxr_tasks.gate.evidence import Evidence
from cxr_tasks.gate.stage import decide, gate_candidate, verdict_of
from tests.gate.builders import make_gate, make_scores
from tests.gate.stage.evaluated import FINDINGS, evaluated, outcomes, written


def champion(tmp_path: Path, table: pd.DataFrame) -> ChampionEvidence:
    path = tmp_path / "champion.parquet"
    table[table["split"] == "test"].to_parquet(path, index=False)
    return ChampionEvidence(version=7, predictions=path)


@pytest.mark.parametrize(("noise", "verdict"), [(0.0, "PASS"), (3.0, "FAIL")])
def test_a_candidate_is_held_against_the_champion(recipe, paths, tmp_path, noise, verdict):
    model = evaluated(tmp_path, make_scores(noise=noise))
    decision = gate_candidate(model, recipe, champion(tmp_path, make_scores()), paths)
    assert (decision.verdict, outcomes(decision)["champion"]) == (verdict, verdict)
    assert decision.champion_version == written(decision)["champion_version"] == 7
    assert written(decision)["rules"][-1]["bound"] == -0.02


def broken(tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    return ChampionEvidence(version=7, predictions=tmp_path / "broken.parquet")


def other_rows(tmp_path):
    return champion(tmp_path, make_scores(n=299))


def empty(tmp_path):
    return champion(tmp_path, make_scores().iloc[:0])


def gone(tmp_path):
    return ChampionEvidence(version=7, reason="its model file is gone")


def nowhere(tmp_path):
    return ChampionEvidence(version=7, predictions=tmp_path / "nowhere.parquet")


def without_scores(tmp_path):
    return champion(tmp_path, make_scores().drop(columns="logit_pneumonia"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (gone, "its model file is gone"),
        (nowhere, "expected a Parquet file"),
        (broken, "expected a Parquet file"),
        (without_scores, "missing: logit_pneumonia"),
        (other_rows, "it was scored on other test rows"),
        (empty, "it was scored on other test rows"),
    ],
)
def test_a_champion_that_could_not_be_scored_needs_a_person(recipe, paths, tmp_path, make, said):
    good, bad = make_scores(), make_scores(separation=1.0)
    decision = gate_candidate(evaluated(tmp_path, good), recipe, make(tmp_path), paths)
    assert (decision.verdict, outcomes(decision)["champion"]) == ("NEEDS_HUMAN", "NEEDS_HUMAN")
    assert len(decision.reasons) == 1
    assert "cannot be compared with champion version 7" in decision.reasons[0]
    assert said in decision.reasons[0]
    shutil.rmtree(paths.root)
    decision = gate_candidate(evaluated(tmp_path, bad), recipe, make(tmp_path), paths)
    assert decision.verdict == "FAIL"  # what the candidate is itself refused for wins
    assert "cannot be compared" in decision.reasons[-1]


@settings(max_examples=20, deadline=None)
@given(separation=st.floats(0.0, 6.0), seed=st.integers(0, 99), problem=st.text(max_size=20))
def test_a_champion_without_scores_is_never_passed(separation, seed, problem):
    """However good the candidate is, and whatever is said of the champion."""
    table = make_scores(separation=separation, seed=seed, n=60)
    metrics = _assessed(separation, seed)
    evidence = Evidence(
        evaluation=metrics, predictions=table, findings=FINDINGS, champion_version=7, champion_problem=problem
    )
    assert verdict_of(decide(evidence, make_gate(), FEW_SAMPLES, 0.5)) in ("NEEDS_HUMAN", "FAIL")


FEW_SAMPLES = EvaluateSpec(bootstrap_samples=100)


def _assessed(separation, seed):
    return assess(make_scores(separation=separation, seed=seed, n=60), FINDINGS, FEW_SAMPLES)


def test_that_property_is_of_candidates_that_would_pass():
    """Without a champion the same candidate passes: the property above is not true for another reason."""
    evidence = Evidence(evaluation=_assessed(6.0, 0), predictions=make_scores(separation=6.0, n=60), findings=FINDINGS)
    assert verdict_of(decide(evidence, make_gate(), FEW_SAMPLES, 0.5)) == "PASS"


@pytest.mark.parametrize("given_", [{}, {"predictions": Path("p"), "reason": "r"}])
def test_champion_evidence_is_predictions_or_a_reason(given_):
    with pytest.raises(ValueError, match="found both or neither"):
        ChampionEvidence(version=1, **given_)
