"""What the platform tells of itself: real files in, Prometheus' text out, read by promtool where it is there."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import threading
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from cxr_tasks.installation.signals import count, signals, signals_file
from cxr_tasks.installation.storage.paths import audit_log, secrets_root
from cxr_tasks.metrics.platform import platform_metrics
from cxr_tasks.metrics.samples import text_of
from cxr_tasks.metrics.serve import Page, metrics_server
from cxr_tasks.registry.audit import trail


def told(environment=None) -> dict[str, dict[tuple[str, ...], float]]:
    return {metric.name: dict(metric.samples) for metric in platform_metrics(environment or {})}


@pytest.fixture
def home_there(cxr_home: Path) -> Path:
    cxr_home.mkdir(exist_ok=True)
    return cxr_home


def record(kind: str, version: int | None = 1, **detail) -> None:
    trail.record(kind, model="cxr_binary", version=version, who="someone", why="because", detail=detail)


def certificate(path: Path, ends: dt.datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(ends - dt.timedelta(days=90)).not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))


def test_an_empty_installation_tells_of_its_disk_and_of_nothing_that_is_not_there(home_there):
    found = told()
    assert found["cxr_disk_free_bytes"][()] <= found["cxr_disk_size_bytes"][()]
    assert found["cxr_audit_problems"] == {(): 0}
    assert set(found["cxr_part_unreadable"].values()) == {0}
    assert found["cxr_champion_since_timestamp_seconds"] == found["cxr_approval_asked_timestamp_seconds"] == {}


def test_a_part_that_cannot_be_read_is_told_and_keeps_no_other_from_being_told(home_there):
    folder = home_there / "monitor" / "cxr_binary" / "x"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{")
    found = told()
    assert {part for (part,), is_so in found["cxr_part_unreadable"].items() if is_so} == {"drift"}
    assert "cxr_disk_free_bytes" in found and "cxr_drifting" not in found


def test_champions_refusals_and_questions_stand_in_the_audit_log(home_there):
    record("served", 1, mlflow_run_id="a")
    record("asked", 2, run="r2")
    record("asked", 3, run="r3")
    record("release_refused", 2)
    found = told()
    assert list(found["cxr_champion_since_timestamp_seconds"]) == [("cxr_binary", "1")]
    assert found["cxr_releases_refused_total"] == {("cxr_binary",): 1}
    assert sorted(found["cxr_approval_asked_timestamp_seconds"]) == [("cxr_binary", "2"), ("cxr_binary", "3")]
    record("rejected", 2, run="r2")
    assert list(told()["cxr_approval_asked_timestamp_seconds"]) == [("cxr_binary", "3")]
    record("promoted", 4)
    assert told()["cxr_approval_asked_timestamp_seconds"] == {}


def test_a_chain_that_somebody_changed_is_counted(home_there):
    for version in (1, 2, 3):
        record("served", version)
    log = audit_log()
    log.write_bytes(log.read_bytes().replace(b'"because"', b'"nothing"', 1))
    assert told()["cxr_audit_problems"][()] >= 1


def test_certificates_end_and_secrets_where_a_setting_says_so(home_there, tmp_path):
    ends = dt.datetime(2030, 1, 2, tzinfo=dt.UTC)
    certificate(secrets_root() / "server.crt", ends)
    certificate(tmp_path / "proxy.pem", ends + dt.timedelta(days=1))
    (secrets_root() / "patient_key").write_text("0")
    found = told({"CXR_CERTIFICATES": str(tmp_path / "proxy.pem")})["cxr_ends_timestamp_seconds"]
    assert found == {
        ("server.crt", "certificate"): ends.timestamp(),
        ("proxy.pem", "certificate"): ends.timestamp() + 86400,
    }
    aged = told({"CXR_SECRET_DAYS": "10"})["cxr_ends_timestamp_seconds"]
    made = (secrets_root() / "patient_key").stat().st_mtime
    assert aged["patient_key", "secret"] == pytest.approx(made + 864_000)
    assert told({"CXR_SECRET_DAYS": "soon"})["cxr_part_unreadable"]["ends",] == 1


def test_what_happened_to_dags_is_counted_and_a_broken_file_begins_anew(home_there):
    for name in ("cxr_report", "cxr_report", "cxr_prune"):
        count("dag_failed", name)
    count("deadline_missed", "cxr_report")
    found = told()
    assert found["cxr_dag_failures_total"] == {("cxr_prune",): 1, ("cxr_report",): 2}
    assert found["cxr_deadlines_missed_total"] == {("cxr_report",): 1}
    assert found["cxr_dag_failures_last_timestamp_seconds"]["cxr_report",] > 1.7e9
    signals_file().write_text("[1")
    count("dag_failed", "cxr_report")
    assert [(one.name, one.n) for one in signals()] == [("cxr_report", 1)]


def test_the_page_is_served_and_is_what_prometheus_reads(home_there):
    count("dag_failed", "cxr_report")
    server = metrics_server("127.0.0.1", 0, Page(lambda: text_of(platform_metrics({}))))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with closing(urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics")) as answer:
            page = answer.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/etc/passwd")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert 'cxr_dag_failures_total{dag_id="cxr_report"} 1\n' in page
    if promtool := shutil.which("promtool"):
        done = subprocess.run([promtool, "check", "metrics"], input=page, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_page_is_kept_for_a_while():
    made = []
    page = Page(lambda: made.append(1) or str(len(made)), kept_s=1000)
    assert (page.text(), page.text()) == ("1", "1")
    assert Page(lambda: made.append(1) or str(len(made)), kept_s=0).text() == "2"


def test_of_two_versions_of_one_number_the_one_that_was_looked_at_last_is_told(home_there):
    from cxr_tasks.monitor.record import LookLine, State, write_state

    for run_id, day, verdict in (
        ("a" * 32, "2026-11-20", "drift"),
        ("0" * 32, "2026-11-25", "none"),
        ("f" * 32, "2026-11-02", "drift"),
    ):
        look = LookLine(
            day=day, folder="x", verdict=verdict, n_images=500, largest_psi=0.1, names=(), is_regular=True, auroc=None
        )
        write_state(State(model_name="cxr_binary", version=1, mlflow_run_id=run_id, looks=(look,)))
    found = told()
    assert found["cxr_drifting"] == {("cxr_binary", "1"): 0.0}
    assert found["cxr_drift_looked_timestamp_seconds"] == {
        ("cxr_binary", "1"): dt.datetime(2026, 11, 26, tzinfo=dt.UTC).timestamp()
    }
