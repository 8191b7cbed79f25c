"""The audit log's lines in a real bucket with object lock: who changes log or bucket is seen by the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr_tasks.cli.doctor.findings import copy_findings
from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.storage.locked_objects import LockedBucket
from cxr_tasks.installation.storage.paths import audit_log
from cxr_tasks.registry.audit import copies, trail
from tests.docker import services

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(services.lacks_store()), reason=f"needs {services.lacks_store()}"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[tuple[int, Path]]:
    with services.seaweed(tmp_path_factory.mktemp("store") / "seaweed") as found:
        yield found


@pytest.fixture
def bucket(store, cxr_home: Path, monkeypatch, request) -> LockedBucket:
    name = f"audit-{abs(hash(request.node.name)) % 10**8}"
    for variable, value in {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{store[0]}",
        "AWS_SHARED_CREDENTIALS_FILE": str(store[1]),
        "AWS_DEFAULT_REGION": "us-east-1",
        copies.BUCKET: name,
    }.items():
        monkeypatch.setenv(variable, value)
    return LockedBucket(name)


def recorded(n: int) -> list[bytes]:
    for number in range(n):
        trail.record("registered", model="cxr_binary", version=number + 1, who="dr.weber", why="first")
    return audit_log().read_bytes().splitlines(keepends=True)


def levels() -> list[str]:
    return [one.level for one in copy_findings()]


def test_every_line_is_copied_once_and_nobody_takes_it_away(bucket: LockedBucket):
    from botocore.exceptions import ClientError

    lines = recorded(3)
    keys = bucket.versions(copies.PREFIX)
    assert [bucket.first(key, found) for key, found in sorted(keys.items())] == lines
    assert levels() == ["OK"]
    key = sorted(keys)[1]
    with pytest.raises(ClientError, match="AccessDenied|Access Denied|locked|WORM"):
        bucket._client.delete_object(Bucket=bucket.name, Key=key, VersionId=keys[key].first)
    held = bucket._client.get_object_retention(Bucket=bucket.name, Key=key, VersionId=keys[key].first)["Retention"]
    assert held["Mode"] == "COMPLIANCE" and held["RetainUntilDate"].year - 2000 >= 35
    recorded(1)
    assert {one.n_versions for one in bucket.versions(copies.PREFIX).values()} == {1}


def test_a_changed_line_and_a_cut_end_are_seen_though_log_and_head_agree(bucket: LockedBucket):
    lines = recorded(3)
    audit_log().write_bytes(lines[0])  # and written anew from there, by somebody who knows how
    audit_log().with_name("head").unlink()
    trail.record("rejected", model="cxr_binary", version=2, who="dr.weber", why="other")
    # The copy is of what was there first.
    found = copies.problems()
    assert [one.line for one in found] == [2, 3]
    assert "not what was copied" in found[0].text and "its end was removed" in found[1].text
    assert levels() == ["FAIL", "FAIL"]


def test_a_copy_that_was_hidden_or_overwritten_is_seen_and_the_first_one_counts(bucket: LockedBucket):
    recorded(2)
    first, second = sorted(bucket.versions(copies.PREFIX))
    bucket._client.delete_object(Bucket=bucket.name, Key=first)
    bucket._client.put_object(Bucket=bucket.name, Key=second, Body=b"other")
    found = copies.problems()
    assert [(one.line, "written again or removed" in one.text) for one in found] == [(1, True), (2, True)]


def test_a_store_that_is_away_stops_nothing_and_is_caught_up_with(bucket: LockedBucket, monkeypatch, caplog):
    recorded(1)
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        away.setattr(copies.LockedBucket, "__init__", quick(copies.LockedBucket.__init__))
        recorded(2)
        assert "recorded, but not copied to its bucket" in caplog.text
        assert levels() == ["WARN"]
    assert [(one.level, one.text) for one in copy_findings()] == [("WARN", "2 lines are not copied yet")]
    recorded(1)
    assert levels() == ["OK"] and len(bucket.versions(copies.PREFIX)) == 4


def quick(make):
    """One attempt: boto3 waits seconds between several."""

    def made(self, *arguments):
        make(self, *arguments)
        self._client.meta.events.register("needs-retry.s3", lambda **_: None)
        self._client._endpoint.http_session._timeout = 1
        self._client.meta.config.retries = {"total_max_attempts": 1}

    return made


def test_a_note_that_was_lost_copies_nothing_twice(bucket: LockedBucket):
    recorded(2)
    audit_log().with_name("copied").unlink()
    recorded(1)
    assert [one.n_versions for one in bucket.versions(copies.PREFIX).values()] == [1, 1, 1]


def test_a_bucket_without_lock_is_used_and_named(bucket: LockedBucket, monkeypatch):
    monkeypatch.setenv(copies.BUCKET, services.BUCKET)
    recorded(1)
    assert [one.level for one in copy_findings()] == ["WARN"]
    assert "no object lock" in copy_findings()[0].text


def test_years_that_are_none_are_named_when_the_stack_starts():
    assert copies.copy_settings({}) is None
    assert copies.copy_settings({copies.BUCKET: "audit"}).years == 10
    with pytest.raises(ConfigurationError, match="CXR_AUDIT_YEARS=ten: expected a number of years"):
        copies.copy_settings({copies.YEARS: "ten"})


def test_what_copies_no_line_is_told_and_hides_nothing(bucket: LockedBucket):
    recorded(2)
    for key in ("notes.txt", "000000000001x", "-00000000001", "1"):
        bucket._client.put_object(Bucket=bucket.name, Key=f"{copies.PREFIX}{key}", Body=b"x")
    (problem,) = copies.problems()
    assert "4 objects that copy no line, the first is 'audit/-00000000001'" in problem.text
    assert copies.n_missing() == 0
    assert levels() == ["FAIL"]
