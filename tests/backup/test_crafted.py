"""Backups that nobody wrote by ``cxr backup``: what they say of themselves moves nothing and fills nothing."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from cxr_tasks.backup.reading import check_backup, read_manifest
from cxr_tasks.backup.restore import restore_backup
from cxr_tasks.contracts.errors import DataDefect

CONTENT = b"graph"


def crafted(file: Path, members: list[tarfile.TarInfo] | None = None, **told: object) -> Path:
    """A backup of one file, ``served/x``, whose manifest says what is ``told`` besides."""
    listed = {"served/x": [len(CONTENT), hashlib.sha256(CONTENT).hexdigest()]}
    manifest = {"made_at": "2026-11-30", "home": "/x", "commit": None, "versions": {}, "units": ["served"]}
    manifest |= {"files": listed, **told}
    with tarfile.open(file, "w:gz") as archive:
        for member in members if members is not None else [tarfile.TarInfo("served/x")]:
            member.size = member.size or (len(CONTENT) if member.isreg() else 0)
            archive.addfile(member, io.BytesIO(CONTENT.ljust(member.size, b"\0")))
        last = tarfile.TarInfo("manifest.json")
        content = json.dumps(manifest | {"format": 1}).encode()
        last.size = len(content)
        archive.addfile(last, io.BytesIO(content))
    return file


def test_a_sound_one_is_restored(cxr_home: Path, tmp_path: Path):
    assert restore_backup(crafted(tmp_path / "b.tgz"), passphrase=None).units == ("served",)
    assert (cxr_home / "served" / "x").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "unit", ["..", "../beside", "/etc", ".", "", "served/../..", "./served", "served/", ".prune.lock", "replaced-x",
             "secrets", "secrets/airflow", "stack", "stack/settings.json", "airflow/logs", 7],
)  # fmt: skip
def test_a_unit_that_is_none_moves_nothing(cxr_home: Path, tmp_path: Path, unit):
    beside = cxr_home.parent / "beside"
    beside.mkdir()
    (cxr_home / "secrets").mkdir(parents=True)
    file = crafted(tmp_path / "b.tgz", units=["served", unit])
    before = sorted(path for path in cxr_home.parent.rglob("*"))
    with pytest.raises(DataDefect, match="its manifest is not one of format 1"):
        restore_backup(file, passphrase=None, replace=True)
    assert sorted(path for path in cxr_home.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "told",
    [{"versions": {"no_such_package": "1"}}, {"versions": []}, {"files": {"served/x": [-1, "ab"]}}, {"units": None},
     {"files": {"served/x": ["5", "ab"]}}, {"files": {"served/x": 5}}, {"files": ["served/x"]}],
)  # fmt: skip
def test_a_manifest_of_another_shape_is_no_fault_of_the_program(cxr_home: Path, tmp_path: Path, told: dict):
    with pytest.raises(DataDefect, match="its manifest is not one of format 1"):
        read_manifest(crafted(tmp_path / "b.tgz", **told))


def test_no_more_is_written_than_there_is_room_for(cxr_home: Path, tmp_path: Path):
    long = tarfile.TarInfo("served/x")
    long.size = 64 << 20
    file = crafted(tmp_path / "long.tgz", [long])
    with pytest.raises(DataDefect, match=r"served/x is longer than the 5 bytes that were written"):
        check_backup(file)
    unlisted = tarfile.TarInfo("served/y")
    unlisted.size = 64 << 20
    with pytest.raises(DataDefect, match=r"served/y is longer than the 0 bytes that were written"):
        restore_backup(crafted(tmp_path / "more.tgz", [unlisted]), passphrase=None)
    assert not list(cxr_home.glob("*"))


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_what_is_no_file_is_not_made(cxr_home: Path, tmp_path: Path, kind: bytes):
    member = tarfile.TarInfo("served/x")
    member.type, member.linkname = kind, "served/none"
    with pytest.raises(DataDefect, match="stands for two things, or for none|is neither a file nor"):
        restore_backup(crafted(tmp_path / "b.tgz", [member]), passphrase=None)
    assert not list(cxr_home.glob("*"))


def test_a_name_that_comes_twice_is_refused(cxr_home: Path, tmp_path: Path):
    twice = [tarfile.TarInfo("served/x"), tarfile.TarInfo("served/x")]
    with pytest.raises(DataDefect, match="stands for two things"):
        restore_backup(crafted(tmp_path / "b.tgz", twice), passphrase=None)
    below = [tarfile.TarInfo("served/x"), tarfile.TarInfo("served/x/y")]
    with pytest.raises(DataDefect, match="stands for two things|longer than"):
        restore_backup(crafted(tmp_path / "below.tgz", below), passphrase=None)
    assert not list(cxr_home.glob("*"))
