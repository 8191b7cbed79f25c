"""Who may serve: a real MLflow registry and a real audit log, in the test's own run-time folder."""

from __future__ import annotations

import shutil

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.storage.paths import audit_log
from cxr_tasks.registry.audit import trail
from cxr_tasks.registry.overrides import Override, overrides_of, record_override
from cxr_tasks.registry.permission import may_serve
from cxr_tasks.registry.versions import NoSuchVersion

pytestmark = pytest.mark.mlflow

MODEL = "cxr_binary"
DECISION = "ab" * 32
OTHER = "cd" * 32
PASSED = {"gate.verdict": "PASS", "gate.decision_sha256": DECISION, "data.fingerprint": "ef" * 32}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """One registry for all tests: making its database takes seconds."""
    from cxr_tasks.registry import tracking

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CXR_HOME", str(tmp_path_factory.mktemp("var")))
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield tracking.client()


@pytest.fixture
def make_version(registry, tmp_path):
    """A version with these tags; its number. The model and its part of the audit log are the test's own."""
    registry.create_registered_model(MODEL)

    def make(tags, run="r1"):
        return int(registry.create_model_version(MODEL, source=str(tmp_path), run_id=run, tags=tags).version)

    yield make
    registry.delete_registered_model(MODEL)
    shutil.rmtree(audit_log().parent, ignore_errors=True)


def log(kind, version, decision=DECISION, verdict="PASS", model=MODEL, run="r1"):
    told = {"verdict": verdict, "decision_sha256": decision, "mlflow_run_id": run}
    trail.record(kind, model=model, version=version, who="airflow", detail=told)


def test_a_passed_version_that_the_log_bears_out_may_serve(make_version):
    number = make_version(PASSED)
    log("verdict", None)
    log("registered", number)
    log("verdict", None, OTHER, "FAIL", run="r2")  # of another candidate
    found = may_serve(MODEL, number)
    assert (found.allowed, found.because) == (True, "its gate verdict is PASS (decision abababababab)")


@pytest.mark.parametrize(
    ("tags", "logged", "because"),
    [
        ({}, [], "its gate verdict is missing;"),
        ({**PASSED, "gate.verdict": "NEEDS_HUMAN", "gate.reasons": "no scores."}, [], "NEEDS_HUMAN: no scores.;"),
        ({**PASSED, "gate.verdict": "FAIL"}, [("verdict", None), ("registered", 1)], "its gate verdict is FAIL;"),
        ({"gate.verdict": "PASS"}, [("verdict", None), ("registered", 1)], "say PASS, and name no decision"),
        (PASSED, [], "the audit log has no verdict on decision abab"),
        (PASSED, [("verdict", None, OTHER), ("registered", 1, OTHER)], "has no verdict on decision abab"),
        (PASSED, [("verdict", None, DECISION, "FAIL"), ("registered", 1)], "the audit log has FAIL on decision abab"),
        (PASSED, [("verdict", None, DECISION, "PASS", "cxr_multilabel"), ("registered", 1)], "has no verdict on"),
        (PASSED, [("verdict", None), ("registered", 2)], "the audit log knows no version 1"),  # another version's
        (PASSED, [("verdict", None), ("registered", 1, OTHER)], "the audit log knows no version 1"),
        (PASSED, [("verdict", None), ("registered", 1), ("verdict", None, OTHER, "FAIL")], "was judged again after"),
    ],
)
def test_tags_alone_permit_nothing(make_version, tags, logged, because):
    number = make_version(tags)
    for one in logged:
        log(*one)
    found = may_serve(MODEL, number)
    assert not found.allowed
    assert because in found.because
    assert "cxr override cxr_binary 1 --by NAME --reason TEXT" in found.because


def test_an_override_lets_a_version_serve_and_stays_on_it(make_version):
    from cxr_tasks.registry.versions import version_tags

    number = make_version({**PASSED, "gate.verdict": "NEEDS_HUMAN", "gate.reasons": "its champion is gone."})
    made = record_override(MODEL, number, "A. Okafor", " compared\nby hand ")
    found = may_serve(MODEL, number)
    assert found.allowed
    assert found.because == (
        f"override of A. Okafor (claimed) at {made.at}: compared by hand "
        "(its gate verdict is NEEDS_HUMAN: its champion is gone.)"
    )
    (entry,) = trail.entries(MODEL)
    assert (entry.kind, entry.version, entry.who, entry.why) == ("override", number, "A. Okafor", "compared by hand")
    assert dict(entry.detail) == {"verdict": "NEEDS_HUMAN", "decision_sha256": DECISION, "mlflow_run_id": "r1"}
    assert entry.fingerprint == "ef" * 32
    second = record_override(MODEL, number, "B. Lind", "agreed")
    assert overrides_of(version_tags(MODEL, number)) == [
        Override(by="A. Okafor", reason="compared by hand", at=made.at, known_by="claimed"),
        Override(by="B. Lind", reason="agreed", at=second.at, known_by="claimed"),
    ]


def test_a_number_that_comes_again_takes_over_neither_verdict_nor_override(make_version, registry):
    assert make_version(PASSED) == 1
    log("verdict", None)
    log("registered", 1)
    record_override(MODEL, 1, "A. Okafor", "compared by hand")
    assert may_serve(MODEL, 1).allowed
    registry.delete_registered_model(MODEL)
    registry.create_registered_model(MODEL)
    # Its tags copied from the one before, as whoever writes the registry can.
    assert make_version(PASSED, run="r2") == 1
    found = may_serve(MODEL, 1)
    assert not found.allowed
    assert "which is about another run than the version's" in found.because


def test_a_version_without_a_run_has_no_override_of_the_one_before(make_version, registry):
    assert make_version({}, run="") == 1
    record_override(MODEL, 1, "A. Okafor", "compared by hand")
    assert may_serve(MODEL, 1).allowed
    registry.delete_registered_model(MODEL)
    registry.create_registered_model(MODEL)
    assert make_version({}, run="") == 1
    assert not may_serve(MODEL, 1).allowed


@pytest.mark.parametrize(
    ("detail", "is_of_it"),
    [
        ({"mlflow_run_id": "r1", "decision_sha256": DECISION}, True),
        ({"mlflow_run_id": "r2", "decision_sha256": DECISION}, False),
        # As written before runs were kept.
        ({"verdict": "FAIL", "decision_sha256": DECISION}, True),
        ({"verdict": "FAIL", "decision_sha256": OTHER}, False),
        ({"verdict": "", "decision_sha256": ""}, False),  # the version it was about had no decision
    ],
)
def test_overrides_of_the_former_form_count_for_their_own_version(make_version, detail, is_of_it):
    number = make_version({**PASSED, "gate.verdict": "FAIL"})
    log("verdict", None, verdict="FAIL")
    trail.record("override", model=MODEL, version=number, who="A. Okafor", why="compared", detail=detail)
    assert may_serve(MODEL, number).allowed is is_of_it


def test_an_override_in_the_tags_alone_permits_nothing(make_version):
    number = make_version({"override.by": "A. Okafor", "override.reason": "trust me", "override.at": "2026-11-26"})
    assert not may_serve(MODEL, number).allowed


def test_an_override_is_of_one_version(make_version):
    first, second = make_version({}), make_version({})
    record_override(MODEL, first, "A. Okafor", "compared by hand")
    assert (may_serve(MODEL, first).allowed, may_serve(MODEL, second).allowed) == (True, False)


@pytest.mark.parametrize(("who", "reason", "missing"), [("", "r", "name of a person"), ("A. Okafor", " \n", "reason")])
def test_an_override_needs_a_name_and_a_reason(make_version, who, reason, missing):
    number = make_version({})
    with pytest.raises(ConfigurationError, match=f"expected the {missing}, found none"):
        record_override(MODEL, number, who, reason)
    assert trail.entries() == []


def test_a_version_that_is_not_there_is_named(make_version):
    for ask in (lambda: may_serve(MODEL, 9), lambda: record_override(MODEL, 9, "A. Okafor", "r")):
        with pytest.raises(NoSuchVersion, match="cxr_binary: expected a version 9 in the registry, found none"):
            ask()
    assert trail.entries() == []
