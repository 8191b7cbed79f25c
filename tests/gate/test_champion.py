from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cxr_tasks.contracts.gate_specs import ChampionSpec
from cxr_tasks.contracts.specs import EvaluateSpec
from cxr_tasks.gate.champion import champion_rules
from tests.gate.builders import make_evidence, make_finding, make_gate, make_scores

SPEC = EvaluateSpec(bootstrap_samples=300)
FINDINGS = ("edema", "mass", "nodule")


def several(noise: dict[str, float] | None = None, n: int = 300) -> pd.DataFrame:
    """Scores of three findings on the same images, each with noise of its own."""
    table = make_scores(n=n, finding=FINDINGS[0], noise=(noise or {}).get(FINDINGS[0], 0.0))
    for seed, finding in enumerate(FINDINGS[1:], start=1):
        one = make_scores(n=n, seed=seed, finding=finding, noise=(noise or {}).get(finding, 0.0))
        table[[f"target_{finding}", f"logit_{finding}"]] = one[[f"target_{finding}", f"logit_{finding}"]]
    return table


def rules_of(candidate, champion, *, findings=("pneumonia",), champion_spec=None, **changed):
    found = {one: make_finding() for one in findings}
    given = {"predictions": candidate, "champion_version": 7, "champion_predictions": champion}
    return champion_rules(
        make_evidence(found, **{**given, **changed}), make_gate(champion=champion_spec or ChampionSpec()), SPEC
    )


@pytest.mark.parametrize(
    ("candidate_noise", "champion_noise", "outcome"),
    [
        (0.0, 0.0, "PASS"),  # the same model again: not worse
        (0.0, 3.0, "PASS"),  # clearly better
        (3.0, 0.0, "FAIL"),  # clearly worse
        (0.3, 0.0, "FAIL"),  # a little worse: it cannot be shown to be within the margin
    ],
)
def test_the_candidate_must_not_be_worse_than_the_champion(candidate_noise, champion_noise, outcome):
    (rule,) = rules_of(make_scores(noise=candidate_noise), make_scores(noise=champion_noise))
    assert (rule.name, rule.finding, rule.outcome, rule.bound) == ("champion", "", outcome, -0.005)
    assert (rule.lower > -0.005) == (outcome == "PASS")
    assert rule.lower <= rule.value <= rule.upper


def test_images_that_the_champion_was_trained_on_are_not_compared_on():
    """On the first half of test the champion knows the answers; on the other it is no better than the candidate."""
    candidate = make_scores()
    champion = candidate.copy()
    test = champion.index[champion["split"] == "test"]
    seen = test[: len(test) // 2]
    champion.loc[seen, "logit_pneumonia"] = 9.0 * (champion.loc[seen, "target_pneumonia"] - 0.5)
    (fooled,) = rules_of(candidate, champion)
    left_out = frozenset(champion.loc[seen, "image_id"])
    told = "150 of 300 test images are of images or patients that champion 7 was trained on."
    (rule,) = rules_of(candidate, champion, champion_left_out=left_out, champion_left_out_why=told)
    assert (fooled.outcome, rule.outcome, rule.value) == ("FAIL", "PASS", 0.0)
    assert rule.sentence.endswith(f"Left out: {told}")


def test_a_wider_margin_lets_a_little_worse_pass():
    (rule,) = rules_of(make_scores(noise=0.3), make_scores(), champion_spec=ChampionSpec(margin=0.05))
    assert rule.outcome == "PASS"


def test_a_lower_end_at_the_margin_itself_is_not_above_it():
    table = make_scores()
    (same,) = rules_of(table, table, champion_spec=ChampionSpec(margin=0.0))
    assert (same.lower, same.outcome) == (0.0, "FAIL")


def test_without_a_champion_there_is_nothing_to_compare():
    (rule,) = rules_of(make_scores(), None, champion_version=None)
    assert rule.outcome == "NOT_APPLICABLE"


def test_a_loss_of_one_finding_is_not_made_up_for_by_the_others():
    spec = ChampionSpec(margin=0.05, finding_margin=0.02)
    mean, *each = rules_of(several({"nodule": 2.0}), several(), findings=FINDINGS, champion_spec=spec)
    assert [one.name for one in each] == ["champion_finding"] * 3
    assert {one.finding: one.outcome for one in each} == {"edema": "PASS", "mass": "PASS", "nodule": "FAIL"}
    lost = each[-1]
    assert lost.upper < lost.bound == -0.02
    assert "shown to be worse by more than 0.02" in lost.sentence
    assert "after Holm's correction for 3 findings" in lost.sentence
    assert mean.value == pytest.approx(lost.value / 3)


def test_holm_forgives_what_one_test_alone_would_not():
    """p = 0.03 alone is below 0.05; as the smallest of three it is 0.09."""
    alone = ChampionSpec(margin=0.2, finding_margin=0.0)
    for noise in np.arange(0.05, 2.0, 0.05):
        _, *each = rules_of(several({"nodule": noise}), several(), findings=FINDINGS, champion_spec=alone)
        p_value = float(each[-1].sentence.partition("(p = ")[2].partition(",")[0])
        if 0.02 < p_value < 0.045:
            assert each[-1].outcome == "PASS"
            assert "not shown to be worse" in each[-1].sentence
            return
    pytest.fail("no noise gave a p-value between 0.02 and 0.045")


def test_a_single_finding_is_compared_once():
    assert len(rules_of(make_scores(), make_scores())) == 1


def other_target():
    table = make_scores()
    table.loc[table.index[-1], "target_pneumonia"] = 1 - table.loc[table.index[-1], "target_pneumonia"]
    return table


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"champion": other_target()}, "version 7: it was scored on other test rows"),
        ({"champion": make_scores(n=299)}, "version 7: it was scored on other test rows"),
        ({"champion": None}, "version 7: its predictions are missing"),
        ({"champion": None, "champion_problem": "its model file is gone"}, "version 7: its model file is gone"),
    ],
)
def test_a_champion_without_scores_on_the_same_rows_is_left_to_a_person(given, said):
    (rule,) = rules_of(make_scores(), given.pop("champion"), **given)
    assert (rule.outcome, rule.value, rule.bound) == ("NEEDS_HUMAN", None, -0.005)
    assert said in rule.sentence


def test_rows_that_cannot_be_compared_are_left_to_a_person():
    table = make_scores()
    table.loc[table["split"] == "test", "target_pneumonia"] = 0.0
    (rule,) = rules_of(table, table)
    assert rule.outcome == "NEEDS_HUMAN"
    assert "at least 5 of each are needed" in rule.sentence
