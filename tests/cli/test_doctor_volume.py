"""Mount options that matter to several machines; lines as ``/proc/self/mounts`` writes them."""

from __future__ import annotations

import pytest

from cxr_tasks.cli.doctor.volume import volume_findings

ROOT = "/dev/vda / ext4 rw,relatime 0 0\n"


def told(home, line: str) -> list[tuple[str, str]]:
    mounts = ROOT + line.format(home=str(home).replace(" ", "\\040")) + "\n"
    return [(one.level, one.todo) for one in volume_findings(mounts)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("fs:/cxr {home} nfs4 rw,vers=4.2,hard,lookupcache=positive 0 0", [("OK", "")]),
        ("fs:/cxr {home} nfs4 rw,vers=4.2,hard 0 0", [("FAIL", "mount it with lookupcache=positive")]),
        (
            "fs:/cxr {home} nfs rw,vers=3,soft,lookupcache=none 0 0",
            [("WARN", "mount it with vers=4.1 or later"), ("WARN", "mount it hard, which is the default")],
        ),
        ("fs:/cxr {home} nfs4 rw,vers=4.0,lookupcache=positive 0 0", [("WARN", "mount it with vers=4.1 or later")]),
        (
            "weed {home} fuse.seaweedfs rw 0 0",
            [("WARN", "use NFSv4.1, EFS or CephFS for CXR_HOME; keep S3 for CXR_BUCKET")],
        ),
        ("fs:/other /elsewhere nfs4 rw 0 0", []),  # not what the run-time folder is on
        ("", []),  # one machine with a disk of its own
    ],
)
def test_a_volume_is_judged_by_its_mount(cxr_home, line, expected):
    assert told(cxr_home, line) == expected


def test_a_mount_over_another_counts_and_a_name_may_have_blanks(tmp_path, monkeypatch):
    home = tmp_path / "with a blank" / "var"
    monkeypatch.setenv("CXR_HOME", str(home))
    lines = "a:/ {home} nfs4 rw,vers=4.2 0 0\nb:/ {home} nfs4 rw,vers=4.2,lookupcache=positive 0 0"
    assert told(home, lines) == [("OK", "")]


def test_workers_of_other_machines_need_more_than_a_disk(cxr_home, monkeypatch):
    monkeypatch.setenv("CXR_DATABASE", "postgres")
    assert told(cxr_home, "") == [("WARN", "nothing where all workers run on this machine; else mount a shared volume")]
    assert told(cxr_home, "mon:/ {home} ceph rw 0 0") == [("OK", "")]


def test_this_machines_own_mounts_can_be_read(cxr_home):
    assert all(one.level in ("OK", "WARN") for one in volume_findings())
