"""How the demo ends. The stack and the runs are those of ``tests/end_to_end``; here their outcomes are given."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cxr_tasks.cli import demo
from cxr_tasks.cli.following.follow import TaskFailed
from cxr_tasks.installation.engines import Engines
from cxr_tasks.installation.logins import Login
from cxr_tasks.installation.settings import StackSettings
from tests.cli.test_outcome import facts

PROXIED = Engines(
    airflow_host="api-server",
    mlflow_host="mlflow",
    model_host="model-servers",
    public_url="https://cxr.example.org:8443",
    public_mlflow_url="https://cxr.example.org:5443",
    public_grpc="cxr.example.org:8543",
)


@pytest.fixture
def ends_with(cxr_home, monkeypatch):
    """Makes the two runs end with these outcomes, or with this error."""
    login = Login(username="admin", password="only-here")
    ports = {"airflow_port": 8080, "mlflow_port": 5000, "grpc_port": 8500, "rest_port": 8501}
    settings = StackSettings(home=cxr_home, dags=cxr_home, **ports)
    cxr_home.mkdir()
    monkeypatch.setattr(StackSettings, "airflow_login", lambda self: login)
    monkeypatch.setattr(StackSettings, "mlflow_login", lambda self: login)
    monkeypatch.setattr(demo, "up", lambda console: settings)
    monkeypatch.setattr(demo.StackSettings, "load", lambda: replace(settings, engines=PROXIED))
    monkeypatch.setattr(demo, "AirflowApi", lambda settings: None)

    approvals: list[str | None] = []

    def given(end, approvers=("admin",), recipes=("synthetic_binary", "synthetic_multilabel")):
        nonlocal settings
        settings = replace(settings, approvers=approvers)

        def run_and_follow(console, settings, api, confs, *, approve):
            approvals.append(approve)
            assert [one["recipe"] for one in confs] == list(recipes)
            if isinstance(end, Exception):
                raise end
            return end

        monkeypatch.setattr(demo, "run_and_follow", run_and_follow)
        return approvals

    return given


def test_both_families_end_in_one_table_and_one_file(ends_with, cxr_home, capsys):
    ends_with([facts(), facts(model="cxr_multilabel")])
    assert demo.main() == 0
    told = json.loads((cxr_home / "demo.json").read_text())
    assert set(told["models"]) == {"cxr_binary", "cxr_multilabel"}
    assert told["models"]["cxr_multilabel"]["served_version"] == 3
    assert told["seconds_total"] >= told["seconds_stack"] >= 0
    assert told["addresses"]["airflow"]["password"] == "only-here"
    assert (cxr_home / "demo.json").stat().st_mode & 0o077 == 0
    assert "only-here" in capsys.readouterr().out


def test_one_family_through_containers_is_told_with_what_people_type(ends_with, cxr_home, capsys):
    ends_with([facts()], recipes=["synthetic_binary"])
    assert demo.main(["--no-start", "--recipe", "synthetic_binary"]) == 0
    told = json.loads((cxr_home / "demo.json").read_text())
    said = capsys.readouterr().out
    shown = {name: place["url"] for name, place in told["addresses"].items()}
    assert shown == {
        "airflow": PROXIED.public_url,
        "mlflow": PROXIED.public_mlflow_url,
        "grpc": PROXIED.public_grpc,
    }
    assert not any(f"//{host}" in said or f"{host}:" in said for host in PROXIED.hosts), "names of machines"
    assert f"synthetic_binary, triggered through Airflow at {PROXIED.public_url}" in said
    assert "make cluster-down" in said


def test_the_demo_approves_its_own_models_and_says_so(ends_with, capsys):
    approvals = ends_with([facts(), facts(model="cxr_multilabel")])
    demo.main()
    assert approvals == [demo.REASON]
    assert "approved by the demo itself, as admin" in capsys.readouterr().out


def test_where_somebody_else_approves_the_demo_waits_for_them(ends_with, capsys):
    approvals = ends_with([facts(), facts(model="cxr_multilabel")], approvers=("dr.weber",))
    demo.main()
    assert approvals == [None]
    assert "approved by the demo itself" not in capsys.readouterr().out


def test_a_failed_task_ends_it_and_the_other_chain_is_mentioned(ends_with, cxr_home, capsys):
    ends_with(
        TaskFailed("task cxr_train_multilabel.train failed at try 3: DataDefect: no\n     log: /var/attempt=3.log")
    )
    assert demo.main() == 1
    said = capsys.readouterr().err
    assert "demo: task cxr_train_multilabel.train failed at try 3: DataDefect: no" in said
    assert "log: /var/attempt=3.log" in said
    assert "What else was triggered goes on in Airflow" in said
    assert not (cxr_home / "demo.json").exists()


def test_one_family_without_a_served_model_is_a_failure(ends_with):
    nothing = facts(
        model="cxr_multilabel", version=None, is_approved=False, gate_verdict="FAIL", served_version=None, report=None
    )
    ends_with([facts(), nothing])
    assert demo.main() == 1
