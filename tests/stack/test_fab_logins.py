"""Logins in Airflow's database, through the real stack: who may answer an approval, and who only thinks so."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.engines import Engines
from cxr_tasks.installation.logins import LIST_USER, airflow_login
from cxr_tasks.installation.oidc import SECRET_FILE, Oidc
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.registry.approve.approval import Answer, Recorded
from cxr_tasks.worklist.airflow_api import AirflowApi, TaskRun
from cxr_tasks.worklist.airflow_calls import AirflowFailed
from tests.own_stack import own_stack
from tests.waiting import PATIENCE_S, wait_until

needs_fab = pytest.mark.skipif(
    importlib.util.find_spec("flask_appbuilder") is None, reason="needs the packages of a cluster (make CLUSTER=1)"
)
LIMIT_S = 900
#: A login that is the number of a row of somebody else: of the administrator, who is made first.
NUMBER = "1"
APPROVER = "dr.weber"
QUESTION = """
import os
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG
from cxr_tasks.installation.approvers import approvers

with DAG("asks", schedule=None):
    HITLOperator(
        task_id="approve", subject="Shall it serve?", options=["Approve", "Reject"],
        assigned_users=[{"id": name, "name": name} for name in approvers(os.environ)],
    )
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[StackSettings]:
    root = tmp_path_factory.mktemp("fab")
    (root / "dags").mkdir()
    (root / "dags" / "asks.py").write_text(QUESTION)
    logins = {"CXR_LOGINS": "fab", "CXR_APPROVERS": f"{APPROVER},{NUMBER}"}
    with own_stack(root / "var", CXR_DAGS=str(root / "dags"), **logins) as settings:
        yield settings


def asked(stack: StackSettings) -> TaskRun:
    """A question of a new run, once it waits."""
    api = AirflowApi(stack)
    api.wait_for_dags(("asks",), PATIENCE_S)
    run = api.trigger("asks", {})
    waiting = wait_until(
        lambda: [task for task in api.waiting("asks") if task.run_id == run.run_id], "a task that waits for an answer",
        tell=lambda: api.tasks(run), pause_s=0.5,
    )  # fmt: skip
    return waiting[0]


@needs_fab
@pytest.mark.stack
@pytest.mark.timeout(2400)
class TestAnswers:
    def test_only_who_is_named_answers_and_is_recorded_by_name(self, stack):
        question = asked(stack)
        for user in ("viewer", LIST_USER, "admin"):  # without the right; an operator; all rights, and row NUMBER
            with pytest.raises(AirflowFailed) as refused:
                AirflowApi(stack, user).answer(question, "Approve", {})
            assert refused.value.status == 403, user
        AirflowApi(stack, APPROVER).answer(question, "Approve", {})
        details = AirflowApi(stack).question(question)
        assert details["responded_by_user"]["id"] != APPROVER  # as Airflow has it: the number of a row
        answer = Recorded.from_details(details).answer
        assert (answer.choice, answer.who) == ("Approve", APPROVER)

    def test_a_login_that_is_a_number_answers_for_itself(self, stack):
        question = asked(stack)
        AirflowApi(stack, NUMBER).answer(question, "Reject", {})
        assert Recorded.from_details(AirflowApi(stack).question(question)).answer.who == NUMBER

    def test_an_approver_starts_nothing_and_an_operator_does(self, stack):
        with pytest.raises(AirflowFailed) as refused:
            AirflowApi(stack, APPROVER).trigger("asks", {})
        assert refused.value.status == 403
        assert AirflowApi(stack, LIST_USER).trigger("asks", {}).state == "queued"
        with pytest.raises(AirflowFailed):
            AirflowApi(stack, "viewer").trigger("asks", {})

    def test_a_wrong_password_is_refused_and_pages_ask_for_a_login(self, stack):
        body = {"username": APPROVER, "password": "wrong"}
        assert requests.post(f"{stack.airflow_url}/auth/token", json=body, timeout=60).status_code == 401
        assert requests.get(f"{stack.airflow_url}/api/v2/dags", timeout=60).status_code == 401
        page = requests.get(f"{stack.airflow_url}/auth/login/", timeout=60)
        assert page.ok and "username" in page.text.lower()

    def test_roles_and_passwords_are_made_again_without_taking_anything_back(self, stack):
        script = (
            "from cxr_tasks.installation.settings import StackSettings\n"
            "from cxr_tasks.stack.servers.fab_people import make_people\n"
            "from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder\n"
            "make_people(StackSettings.load())\n"
            "with get_application_builder() as builder:\n"
            "    print({one.username: [role.name for role in one.roles] for one in builder.sm.get_all_users()})\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=PROJECT_ROOT, check=True, capture_output=True, text=True,
            env=os.environ | {"AIRFLOW_HOME": str(stack.airflow_home)}, timeout=600,
        )  # fmt: skip
        known = eval(done.stdout.splitlines()[-1])
        assert known == {
            "admin": ["Admin"], "viewer": ["Viewer"], LIST_USER: ["Operator"],
            APPROVER: ["Approver"], NUMBER: ["Approver"],
        }  # fmt: skip
        assert airflow_login(stack.secrets, APPROVER).password not in done.stdout + done.stderr


def test_whoever_is_recorded_under_a_number_goes_by_the_login_and_else_by_the_id():
    def who(**person):
        return Answer.from_hitl({"chosen_options": ["Approve"], "responded_by_user": person}).who

    assert who(id="7", name="dr.weber") == "dr.weber"
    assert who(id=7, name="dr.weber") == "dr.weber"
    assert who(id="dr.okafor", name="dr.weber") == "dr.okafor"  # a name that people may choose
    assert who(id="7", name="") == "7"


def test_logins_are_simple_unless_asked_for_otherwise(monkeypatch):
    assert not Engines.requested({}).has_fab_logins
    engines = Engines.requested({"CXR_LOGINS": "fab"})
    assert engines.has_fab_logins and engines.as_environment() == {"CXR_LOGINS": "fab"}
    with pytest.raises(ConfigurationError, match="CXR_LOGINS=keycloak: expected simple or fab"):
        Engines.requested({"CXR_LOGINS": "keycloak"})


class TestIdentityProvider:
    KEYCLOAK = "https://keycloak.example.org/realms/hospital"

    def test_without_an_address_there_is_none(self, tmp_path: Path):
        assert Oidc.configured({}, tmp_path) is None

    def test_groups_have_roles_and_the_secret_is_a_file(self, tmp_path: Path):
        (tmp_path / SECRET_FILE).write_text("s3cret\n")
        found = Oidc.configured({"CXR_OIDC_ISSUER": f"{self.KEYCLOAK}/"}, tmp_path)
        assert (found.issuer, found.client, found.client_secret) == (self.KEYCLOAK, "cxr", "s3cret")
        assert found.groups["cxr-approvers"] == ["Approver"]
        assert "s3cret" not in repr(found)
        asked = {"CXR_OIDC_ISSUER": self.KEYCLOAK, "CXR_OIDC_GROUPS": "radiology=Approver, radiology=Operator"}
        assert Oidc.configured(asked, tmp_path).groups == {"radiology": ["Approver", "Operator"]}

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"CXR_OIDC_ISSUER": "http://keycloak.example.org"}, "expected such as https://"),
            ({"CXR_OIDC_GROUPS": "radiology=Chief"}, "with a role of Viewer, Operator, Approver, Admin; found"),
            ({"CXR_OIDC_GROUPS": "radiology"}, "found 'radiology'"),
        ],
    )
    def test_what_cannot_be_is_named_when_the_stack_starts(self, tmp_path: Path, changed, said):
        (tmp_path / SECRET_FILE).write_text("s3cret\n")
        with pytest.raises(ConfigurationError, match=said):
            Oidc.configured({"CXR_OIDC_ISSUER": self.KEYCLOAK, **changed}, tmp_path)

    def test_a_missing_secret_is_named(self, tmp_path: Path):
        with pytest.raises(ConfigurationError, match=f"{SECRET_FILE}: expected the secret of the client"):
            Oidc.configured({"CXR_OIDC_ISSUER": self.KEYCLOAK}, tmp_path)
