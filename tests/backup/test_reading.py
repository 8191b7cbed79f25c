"""A backup that is cut, changed, none, or leads out of the run-time folder changes nothing there."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from cxr_tasks.backup.archive import write_backup
from cxr_tasks.backup.reading import read_manifest
from cxr_tasks.contracts.errors import ConfigurationError, DataDefect
from tests.backup.filled_home import PASSPHRASE, fill, restore_elsewhere


@pytest.mark.parametrize("fault", ["cut", "flipped", "text"])
def test_broken_file_changes_nothing(cxr_home: Path, tmp_path: Path, fault: str):
    fill(cxr_home)
    file = tmp_path / "b.tar.gz"
    write_backup(file, passphrase=PASSPHRASE)
    content = bytearray(file.read_bytes())
    if fault == "cut":
        content = content[: len(content) // 2]
    elif fault == "flipped":
        content[len(content) // 3] ^= 0xFF
    else:
        content = bytearray(b"no backup")
    file.write_bytes(content)
    with pytest.raises(DataDefect, match=r"b\.tar\.gz: "):
        restore_elsewhere(file, PASSPHRASE)
    assert not list((tmp_path / "elsewhere").glob("*"))


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "served/../../escape", "elsewhere/file"])
def test_member_that_leads_out_is_refused(cxr_home: Path, tmp_path: Path, name: str):
    fill(cxr_home)
    good, bad = tmp_path / "good.tar.gz", tmp_path / "bad.tar.gz"
    write_backup(good, passphrase=None)
    with tarfile.open(good) as source, tarfile.open(bad, "w:gz") as target:
        for member in source:
            target.addfile(member, source.extractfile(member))
        info = tarfile.TarInfo(name)
        info.size = 3
        target.addfile(info, io.BytesIO(b"bad"))
    with pytest.raises(DataDefect, match="is no file of a run-time folder"):
        restore_elsewhere(bad, None)
    assert not (tmp_path / "escape").exists()


def test_changed_member_is_named(cxr_home: Path, tmp_path: Path):
    fill(cxr_home)
    good, bad = tmp_path / "good.tar.gz", tmp_path / "bad.tar.gz"
    write_backup(good, passphrase=None)
    with tarfile.open(good) as source, tarfile.open(bad, "w:gz") as target:
        for member in source:
            stream = source.extractfile(member)
            content = stream.read() if stream else b""
            if member.name == "served/cxr_binary/1/saved_model.pb":
                content = b"other"
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    with pytest.raises(DataDefect, match=r"served/cxr_binary/1/saved_model\.pb is not what was written"):
        restore_elsewhere(bad, None)


def test_what_is_no_backup_says_so(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="expected a backup, found no file"):
        read_manifest(tmp_path / "absent.tar.gz")
