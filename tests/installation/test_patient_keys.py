"""Patient keys and the secret they are made with."""

from __future__ import annotations

import stat

import pytest

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.patient_keys import patient_key, patient_secret

SECRET = bytes(32)


def test_key_is_the_same_for_the_same_patient_and_differs_otherwise():
    key = patient_key("17", salt="2026-11", secret=SECRET)
    assert key == patient_key("17", salt="2026-11", secret=SECRET)
    others = {
        patient_key("18", salt="2026-11", secret=SECRET),      # another patient
        patient_key("17", salt="2026-12", secret=SECRET),      # another salt
        patient_key("17", salt="2026-11", secret=b"\1" * 32),  # another installation
    }  # fmt: skip
    assert len(others) == 3 and key not in others
    assert len(key) == 16 and int(key, 16) >= 0


def test_secret_is_made_once_and_only_its_owner_reads_it(tmp_path):
    folder = tmp_path / "secrets"
    secret = patient_secret(folder)
    assert patient_secret(folder) == secret and len(secret) == 32
    assert stat.S_IMODE((folder / "patient_key").stat().st_mode) == 0o600
    assert [file.name for file in folder.iterdir()] == ["patient_key"]


@pytest.mark.parametrize("content", ["", "zz", "ab12"])
def test_broken_secret_is_named_and_not_replaced(tmp_path, content):
    (tmp_path / "patient_key").write_text(content)
    with pytest.raises(DataDefect, match=r"patient_key: expected 64 hex digits"):
        patient_secret(tmp_path)
    assert (tmp_path / "patient_key").read_text() == content
