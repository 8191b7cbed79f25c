from __future__ import annotations

import json
import re

import pytest

from cxr_tasks.cli.follow_command import path_to, progress_of, request_named
from cxr_tasks.cli.main import main
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.logins import ensure_logins
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.worklist.request import Request, Wanted
from cxr_tasks.worklist.store import Worklist


@pytest.fixture
def chain(cxr_home) -> list[Request]:
    """A dataset, its training, and the question about what came of it."""
    made: list[Request] = []
    for kind in ("dataset", "training", "promotion"):
        parent = made[-1].number if made else None
        version = 3 if kind == "promotion" else None
        made.append(Worklist().add(Wanted(kind=kind, key=kind, model="cxr_binary", version=version, parent=parent))[0])
    return made


@pytest.mark.parametrize(
    "named",
    [
        "{number}",
        "{run_id}",
        "http://127.0.0.1:8080/dags/{dag_id}/runs/{run_id}",
        "http://127.0.0.1:8080/dags/{dag_id}/runs/{run_id}/tasks/approve?x=1",
    ],
)
def test_a_run_is_named_by_number_id_or_address(chain, named):
    for one in chain:
        said = named.format(number=one.number, run_id=one.run_id, dag_id=one.dag_id)
        assert request_named(Worklist(), said) == one


def test_the_command_takes_what_names_a_run(chain, cxr_home, capsys):
    ensure_logins(cxr_home / "secrets")
    (cxr_home / "stack").mkdir()
    (cxr_home / "stack" / "settings.json").write_text(json.dumps(StackSettings.load().as_record()))
    assert main(["follow", "99"]) == 1
    assert "cxr: 99: expected the number, run id or address of a run" in capsys.readouterr().err


def test_what_names_no_run_is_said(chain):
    for named in ("99", "manual__2026", "http://127.0.0.1/dags/cxr_release/runs/x"):
        with pytest.raises(ConfigurationError, match=re.escape(named) + ".*'cxr runs' shows them"):
            request_named(Worklist(), named)


def test_a_chain_is_taken_up_at_its_beginning_and_followed_along_the_run_that_was_named(chain):
    path = path_to(Worklist(), chain[-1])
    assert path == chain
    progress = progress_of(path, "synthetic")
    assert list(progress.runs) == ["cxr_dataset_binary"]
    assert progress.path == {one.run_id for one in chain}
    assert (progress.approve, progress.champion) == ("synthetic", None)


def test_a_run_about_all_models_is_not_one_chain(cxr_home):
    made, _ = Worklist().add(Wanted(kind="report", key="weekly"))
    with pytest.raises(ConfigurationError, match="expected a run about one model"):
        progress_of([made], None)
