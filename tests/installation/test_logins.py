"""Generated once, private, and never in a log."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.logins import (
    KEYS,
    airflow_login,
    airflow_users,
    ensure_logins,
    mlflow_login,
    new_fernet_key,
    new_password,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(folder: Path) -> dict[str, str]:
    return {one.name: one.read_text() for one in folder.iterdir()}


def test_second_start_keeps_what_the_first_made(tmp_path: Path):
    ensure_logins(tmp_path / "secrets")
    first = contents(tmp_path / "secrets")
    ensure_logins(tmp_path / "secrets")
    assert contents(tmp_path / "secrets") == first
    assert set(first) == {*KEYS, "airflow_passwords.json"}


def test_two_stacks_share_no_secret(tmp_path: Path):
    ensure_logins(tmp_path / "a")
    ensure_logins(tmp_path / "b")
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert not set(a.values()) & set(b.values())


def test_only_the_owner_can_read(tmp_path: Path):
    folder = tmp_path / "secrets"
    ensure_logins(folder)
    assert mode(folder) == 0o700
    assert {mode(one) for one in folder.iterdir()} == {0o600}


def test_rights_that_were_too_wide_are_narrowed(tmp_path: Path):
    folder = tmp_path / "secrets"
    ensure_logins(folder)
    folder.chmod(0o755)
    (folder / "mlflow_admin_password").chmod(0o644)
    ensure_logins(folder)
    assert (mode(folder), mode(folder / "mlflow_admin_password")) == (0o700, 0o600)


def test_link_instead_of_a_key_is_refused(tmp_path: Path):
    folder = tmp_path / "secrets"
    ensure_logins(folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("known")
    (folder / "mlflow_admin_password").unlink()
    (folder / "mlflow_admin_password").symlink_to(elsewhere)
    with pytest.raises(ConfigurationError, match="mlflow_admin_password: expected a plain file"):
        ensure_logins(folder)


def test_added_user_gets_a_password_and_others_keep_theirs(tmp_path: Path):
    folder = tmp_path / "secrets"
    ensure_logins(folder)
    (folder / "airflow_passwords.json").write_text(json.dumps({"admin": "kept"}))
    ensure_logins(folder)
    assert airflow_login(folder).password == "kept"
    assert len(airflow_login(folder, "viewer").password) == 24


def test_an_approver_gets_a_login_of_a_role_that_may_answer(tmp_path: Path):
    ensure_logins(tmp_path, ["dr.weber", "viewer", "admin"])
    assert len(airflow_login(tmp_path, "dr.weber").password) == 24
    assert airflow_users(["dr.weber", "viewer", "admin"]) == {
        "admin": "admin",
        "viewer": "user",
        "cxr-requests": "user",
        "dr.weber": "user",
    }


def test_broken_password_file_is_named(tmp_path: Path):
    ensure_logins(tmp_path)
    (tmp_path / "airflow_passwords.json").write_text("admin")
    with pytest.raises(ConfigurationError, match=r"airflow_passwords\.json: expected a JSON object"):
        airflow_login(tmp_path)


def test_no_login_before_the_first_start(tmp_path: Path):
    with pytest.raises(ServiceUnavailable, match="no login yet"):
        mlflow_login(tmp_path / "secrets")


def test_password_is_not_in_repr(tmp_path: Path):
    ensure_logins(tmp_path)
    login = mlflow_login(tmp_path)
    assert login.password not in repr(login)


def test_passwords_are_long_and_need_no_quotes():
    made = {new_password() for _ in range(50)}
    assert len(made) == 50
    assert all(len(one) == 24 and one.replace("-", "").replace("_", "").isalnum() for one in made)


def test_fernet_key_is_32_bytes():
    assert len(base64.urlsafe_b64decode(new_fernet_key())) == 32
