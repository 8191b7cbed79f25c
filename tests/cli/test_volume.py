"""Mount options that matter to a shared run-time folder, from the system's own table."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from cxr_tasks.cli.doctor.volume import mount_of, volume_findings

ROOT = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"
GOOD = "vers=4.2,hard,proto=tcp,lookupcache=positive,local_lock=none"


def table(folder: Path, kind: str, options: str) -> str:
    point = str(folder).replace(" ", "\\040")
    return f"{ROOT}\n36 25 0:32 / {point} rw,noatime shared:2 - {kind} server:/cxr rw,{options}"


@pytest.fixture
def shared(cxr_home: Path, monkeypatch) -> Path:
    cxr_home.mkdir(exist_ok=True)
    monkeypatch.setenv("CXR_DATABASE", "postgres")
    return cxr_home


def test_the_deepest_mount_holds_a_folder_and_names_may_have_spaces(tmp_path: Path):
    text = table(tmp_path / "a b", "nfs4", GOOD)
    assert mount_of(tmp_path / "a b" / "var", text).kind == "nfs4"
    assert mount_of(tmp_path / "a b2" / "var", text).kind == "ext4"
    assert mount_of(tmp_path, "broken line") is None


def test_a_local_disk_and_a_well_mounted_volume_are_fine(shared: Path):
    for text in (ROOT, table(shared, "nfs4", GOOD), table(shared, "ceph", "acl"), ""):
        (found,) = volume_findings(text)
        assert found.level == "OK"
    (found,) = volume_findings()  # this machine's own table
    assert found.level == "OK"


@pytest.mark.parametrize(
    ("kind", "options", "level", "said", "todo"),
    [
        ("nfs4", GOOD.replace(",lookupcache=positive", ""), "WARN", "remembers that a file was absent", "lookupcache"),
        ("nfs4", GOOD.replace("positive", "all"), "WARN", "remembers that a file was absent", "lookupcache=positive"),
        ("nfs", GOOD.replace("4.2", "3"), "WARN", "is NFS 3, whose locks", "vers=4.1"),
        ("nfs4", GOOD.replace("local_lock=none", "local_lock=flock"), "WARN", "keeps locks to each", "local_lock=none"),
        ("nfs", GOOD + ",nolock", "WARN", "(nolock)", "without nolock"),
        ("nfs4", GOOD.replace("hard", "soft"), "WARN", "gives up on a slow server", "hard"),
        ("fuse.seaweedfs", "user_id=0", "FAIL", "is a store mounted as a disk", "CXR_BUCKET"),
        ("fuse.s3fs", "user_id=0", "FAIL", "is a store mounted as a disk", "CXR_BUCKET"),
    ],
)
def test_what_others_would_trip_over_is_named_with_what_to_do(shared: Path, kind, options, level, said, todo):
    (found,) = volume_findings(table(shared, kind, options))
    assert (found.level, said in found.text, todo in found.todo) == (level, True, True)


def test_noac_stands_in_for_lookupcache(shared: Path):
    (found,) = volume_findings(table(shared, "nfs4", GOOD.replace(",lookupcache=positive", ",noac")))
    assert found.level == "OK"


def test_local_locks_and_sqlite_on_the_network_are_worse_without_postgres(shared: Path, monkeypatch):
    monkeypatch.delenv("CXR_DATABASE")
    found = volume_findings(table(shared, "nfs4", GOOD.replace("local_lock=none", "local_lock=all")))
    assert [one.level for one in found] == ["WARN", "FAIL"]
    assert "SQLite" in found[0].text


def test_a_file_system_whose_locks_are_none_is_named(shared: Path, monkeypatch):
    """flock that always succeeds, as some FUSE file systems have it: no such system is to be had here."""
    monkeypatch.delenv("CXR_DATABASE")
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    (found,) = volume_findings(ROOT)
    assert found.level == "FAIL" and "two hold one lock at once" in found.text
