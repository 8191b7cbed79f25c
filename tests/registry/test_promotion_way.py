"""How the champion came about: by this platform, or in MLflow by a login that may decide, or by anybody."""

from __future__ import annotations

import dataclasses

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.contracts.policies import POLICIES_FOLDER, load_policy
from cxr_tasks.contracts.promotion_specs import PromotionSpec
from cxr_tasks.registry import promotion_way
from cxr_tasks.registry.alias_moves import MOVE, RegistryChange, changes_path, write_change
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.persons import Person
from cxr_tasks.registry.promotion_way import way_of, why_not_promoted

MODEL, APPROVERS = "cxr_binary", ("dr.weber",)


def move(login: str, version: int, **changed: str) -> None:
    changes_path().parent.mkdir(parents=True, exist_ok=True)
    write_change(
        RegistryChange.now(login=login, action=MOVE, model=MODEL, alias="champion", version=str(version), **changed)
    )


def log(kind: str, version: int, who, run: str = "r1") -> None:
    trail.record(kind, model=MODEL, version=version, who=who, detail={"mlflow_run_id": run})


def by_nobody() -> None:
    """A registry outside the stack: nobody writes down who moved what."""


def by_approver() -> None:
    move("dr.weber", 3)


def by_trainer() -> None:
    move("trainer", 3)


def without_login() -> None:
    move("", 3)


def approved() -> None:
    move("admin", 3)  # the platform's own login, just before the log
    log("promoted", 3, Person("dr.weber", "Airflow login"))


def from_shell() -> None:
    log("promoted", 3, Person("otto", "shell user"))


def rolled_back() -> None:
    log("rolled_back", 3, "otto")


def moved_after_approval() -> None:
    approved()
    move("trainer", 2)
    move("trainer", 3)


def another_number() -> None:
    log("promoted", 3, Person("dr.weber", "Airflow login"), run="r0")


def a_former_one() -> None:
    log("promoted", 3, Person("dr.weber", "Airflow login"))
    log("promoted", 4, Person("dr.weber", "Airflow login"))


@pytest.mark.parametrize(
    ("happened", "way", "is_taken"),
    [
        (by_nobody, "mlflow", False),
        (by_approver, "mlflow_approver", True),
        (by_trainer, "mlflow", False),
        (without_login, "mlflow", False),
        (approved, "approval", True),
        (from_shell, "shell", True),
        (rolled_back, "shell", True),
        (moved_after_approval, "mlflow", False),
        (another_number, "mlflow", False),
        (a_former_one, "mlflow", False),
    ],
)
def test_ways(cxr_home, happened, way, is_taken):
    happened()
    found = way_of(MODEL, 3, "r1", APPROVERS)
    assert found.way == way
    refused = why_not_promoted(MODEL, 3, found)
    assert (refused == "") is is_taken
    if refused:
        assert "cxr promote cxr_binary 3 --reason TEXT" in refused and "promotion.who_may_promote" in refused


def test_the_policy_decides(cxr_home, monkeypatch):
    by_trainer()
    found = way_of(MODEL, 3, "r1", APPROVERS)
    assert found.person == Person("trainer", "MLflow login")
    for ways, is_taken in ((("mlflow",), True), (("approval",), False), (("shell", "mlflow_approver"), False)):
        policy = dataclasses.replace(load_policy(MODEL), promotion=PromotionSpec(who_may_promote=ways))
        monkeypatch.setattr(promotion_way, "load_policy", lambda name, policy=policy: policy)
        assert (why_not_promoted(MODEL, 3, found) == "") is is_taken


def test_a_policy_file_says_it_and_a_misspelt_way_is_named(tmp_path):
    text = (POLICIES_FOLDER / f"{MODEL}.yaml").read_text()
    path = tmp_path / f"{MODEL}.yaml"
    path.write_text(f"{text}\npromotion: {{who_may_promote: [approval], lowered_floor: override}}\n")
    read = load_policy(MODEL, tmp_path).promotion
    assert (read.who_may_promote, read.lowered_floor) == (("approval",), "override")
    for wrong, said in (("[aproval]", "did you mean 'approval'"), ("[]", "at least one way")):
        path.write_text(f"{text}\npromotion: {{who_may_promote: {wrong}}}\n")
        with pytest.raises(ConfigurationError, match=said):
            load_policy(MODEL, tmp_path)
