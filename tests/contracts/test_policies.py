from __future__ import annotations

import pytest
import yaml

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.gate_specs import Bound
from cxr_tasks.contracts.labels import findings_of
from cxr_tasks.contracts.policies import POLICIES_FOLDER, load_policy, policy_change, without_none
from cxr_tasks.contracts.recipes import load_recipe, recipe_names
from cxr_tasks.contracts.shapes import plain
from cxr_tasks.installation.storage.files import sha256_file
from cxr_tasks.installation.storage.paths import PROJECT_ROOT

LEAST = {"mean": {"auroc": {"lower_at_least": 0.9}}, "served": {"sensitivity": {"at_least": 0.5}}}


def written(folder, default=None, datasets=None, **more):
    """A policy file of ``cxr_binary``; what ``default`` says is laid over the least that any must ask."""
    content = {"version": 1, "default": {**LEAST, **(default or {})}, "datasets": datasets or {}, **more}
    (folder / "cxr_binary.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_has_a_section_of_its_own(name):
    recipe = load_recipe(name)
    policy = load_policy(recipe.model_name)
    section, asked = policy.section_for(recipe.dataset.name)
    assert section == recipe.dataset.name
    assert asked.confidence <= recipe.evaluate.confidence
    assert asked.target_sensitivity <= recipe.evaluate.target_sensitivity
    if recipe.model_name == "cxr_multilabel":
        # Measured and judged at the same sensitivity, and with the point where half of the calls are right.
        assert (asked.target_sensitivity, recipe.evaluate.target_sensitivity) == (0.9, 0.9)
        assert recipe.evaluate.target_ppv == 0.5
    named = {*asked.by_finding, *asked.assessable.matters} - {"all"}
    assert named <= set(findings_of(recipe.dataset.vocabulary))


@pytest.mark.parametrize(
    ("model", "dataset", "floor", "margin"),
    [
        ("cxr_binary", "kermany", 0.90, 0.015),
        ("cxr_binary", "synthetic_binary", 0.90, 0.02),
        ("cxr_binary", "a hospital's own", 0.90, 0.005),
        ("cxr_multilabel", "nih", 0.75, 0.005),
        ("cxr_multilabel", "chexpert", 0.70, 0.02),
        ("cxr_multilabel", "synthetic_multilabel", 0.90, 0.01),
        ("cxr_multilabel", "a hospital's own", 0.75, 0.005),
    ],
)
def test_what_the_shipped_policies_ask_first(model, dataset, floor, margin):
    _, asked = load_policy(model).section_for(dataset)
    assert (asked.auroc_floor, asked.champion.margin) == (floor, margin)
    assert {"calibration_beyond_shift", "calibration_slope"} <= set(asked.findings)
    assert asked.served["sensitivity"].is_floor and asked.served["sensitivity"].limit >= 0.5
    assert asked.served["specificity"].limit >= 0.1


def test_a_policy_knows_its_file():
    policy = load_policy("cxr_binary")
    assert (policy.name, policy.version) == ("cxr_binary", 4)
    assert policy.sha256 == sha256_file(POLICIES_FOLDER / "cxr_binary.yaml")


def test_a_section_is_laid_over_the_default(tmp_path):
    default = {"findings": {"auroc": {"lower_at_least": 0.7}, "brier_after": {"at_most": 0.08}}}
    kermany = {
        "findings": {"auroc": {"at_least": 0.8}, "brier_after": None},
        "champion": {"margin": 0.02},
    }
    policy = load_policy("cxr_binary", written(tmp_path, default, {"kermany": kermany, "plain": {}}))
    section, asked = policy.section_for("kermany")
    assert section == "kermany"
    assert asked.findings == {"auroc": Bound(at_least=0.8)}
    assert (asked.champion.margin, asked.champion.alpha, asked.auroc_floor) == (0.02, 0.05, 0.9)
    assert policy.section_for("plain") == ("plain", policy.default)
    assert policy.section_for("elsewhere") == ("default", policy.default)


@pytest.mark.parametrize(
    ("default", "said"),
    [
        ({"findings": {"aurok": {"at_least": 0.9}}}, "findings: 'aurok' is not known; did you mean 'auroc'?"),
        ({"findings": {"ece": {"at_most": 0.1}}}, "'ece' is not known"),
        (
            {"served": {"sensitivty": {"at_least": 0.5}}},
            "served: 'sensitivty' is not known; did you mean 'sensitivity'",
        ),
        ({"mean": {"auroc": {"lower_atleast": 0.9}}}, "'lower_atleast' is not known; did you mean 'lower_at_least'?"),
        (
            {"findings": {"specificity_at_sensitivity": {"at_least": 0.5}}},
            "judges no model any more: it reads a new threshold off the test split, which nothing serves; ask for the "
            "served decision instead: served: {specificity: {at_least: ...}}",
        ),
        (
            {"findings": {"ece_after": {"at_most": 0.1}}},
            "ask for calibration_beyond_shift and calibration_slope instead: {reaches: [LOW, HIGH]}",
        ),
        (
            {"by_finding": {"mass": {"ece_after": {"at_most": 0.1}}}},
            "by_finding.mass: 'ece_after' judges no model any more",
        ),
        ({"mean": {**LEAST["mean"], "ece_after": {"at_most": 0.1}}}, "mean: 'ece_after' judges no model any more"),
        ({"served_by_finding": {"hernai": {}}}, "served_by_finding: 'hernai' is not known; did you mean 'hernia'?"),
        (
            {"served_by_finding": {"hernia": {"specifity": {"at_least": 0.5}}}},
            "served_by_finding.hernia: 'specifity' is not known; did you mean 'specificity'?",
        ),
        ({"champoin": {}}, "'champoin' is not known; did you mean 'champion'?"),
        ({"champion": {"margin": "small"}}, "default.champion.margin: expected float, found str 'small'"),
        ({"slices": {"by": ["sexes"]}}, "'sexes' is not known; did you mean 'sex'?"),
        ({"slices": {"gaps": {"sensitivity": 0.1}}}, "'sensitivity' is not known; did you mean 'sensitivity_gap'?"),
        ({"assessable": {"matters": ["odema"]}}, "matters: 'odema' is not known; did you mean 'edema'?"),
        ({"by_finding": {"hernai": {}}}, "by_finding: 'hernai' is not known; did you mean 'hernia'?"),
        (
            {"by_finding": {"hernia": {"aurc": {"at_least": 0.5}}}},
            "by_finding.hernia: 'aurc' is not known; did you mean",
        ),
        ({"served": None}, "'served' is missing"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest(tmp_path, default, said):
    with pytest.raises(ConfigurationError) as caught:
        load_policy("cxr_binary", written(tmp_path, default))
    assert str(caught.value).startswith("cxr_binary.yaml.default")
    assert said in str(caught.value)


def test_a_section_is_checked_even_where_no_run_asks_for_it(tmp_path):
    folder = written(tmp_path, datasets={"kermany": {"findings": {"f2": {"at_least": 0.5}}}})
    with pytest.raises(ConfigurationError, match=r"cxr_binary.yaml.datasets.kermany: findings: 'f2' is not known"):
        load_policy("cxr_binary", folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: [", "expected YAML"),
        ("", "expected a mapping, found NoneType"),
        ("version: 1", "'default' is missing"),
        ("version: 0\ndefault: {}", "version: expected 1 or more, found 0"),
        ("version: 1\ndefault: {}\ndataset: {}", "'dataset' is not known; did you mean 'datasets'?"),
        ("version: 1\ndefault: 3", "expected a mapping, found 3"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, said):
    (tmp_path / "cxr_binary.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_policy("cxr_binary", tmp_path)
    assert "cxr_binary.yaml" in str(caught.value)
    assert said in str(caught.value)


def test_the_policy_in_the_readme_can_be_read(tmp_path):
    section = (
        (PROJECT_ROOT / "cxr_tasks" / "policies" / "README.md").read_text(encoding="utf-8").partition("# Policies")[2]
    )
    (tmp_path / "cxr_multilabel.yaml").write_text(section.partition("```yaml")[2].partition("```")[0])
    policy = load_policy("cxr_multilabel", tmp_path)
    assert policy.section_for("my_hospital")[1].champion.margin == 0.02
    assert policy.default == load_policy("cxr_multilabel").default


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="cxr_binary.yaml: expected a policy of the gate, found No such file"):
        load_policy("cxr_binary", tmp_path)


def judged(folder, dataset="kermany"):
    """What a decision says of the policy in ``folder``, as ``gate_candidate`` writes it."""
    policy = load_policy("cxr_binary", folder)
    section, asked = policy.section_for(dataset)
    return {
        "model_name": "cxr_binary", "dataset": dataset, "policy_version": policy.version,
        "policy_sha256": policy.sha256, "policy_section": section, "asked": without_none(plain(asked)),
    }  # fmt: skip


def test_a_policy_that_is_the_same_to_the_byte_is_no_change(tmp_path):
    assert policy_change(judged(written(tmp_path)), tmp_path) == ""


def test_a_policy_that_asks_more_since_is_told(tmp_path):
    decision = judged(written(tmp_path))
    written(tmp_path, {"champion": {"margin": 0.001}}, version=2)
    said = policy_change(decision, tmp_path)
    assert "judged by policy version 1 (sha256" in said
    assert "today it is version 2 (" in said
    assert "its section default asks is another: let the gate judge it again" in said


def test_a_change_of_another_section_is_told_as_such(tmp_path):
    decision = judged(written(tmp_path))
    written(tmp_path, datasets={"elsewhere": {"champion": {"margin": 0.001}}})
    assert "its section default asks is the same: the file differs elsewhere" in policy_change(decision, tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"policy_sha256": None}, "names no policy"),
        ({"model_name": "cxr_other"}, "cannot be read today: "),
    ],
)
def test_what_cannot_be_compared_is_a_change(tmp_path, change, said):
    assert said in policy_change({**judged(written(tmp_path)), **change}, tmp_path)
