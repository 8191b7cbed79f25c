"""Logins and keys of the stack: made at the first start, kept under ``var/secrets`` for the owner's eyes only."""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError, ServiceUnavailable
from cxr_tasks.installation.storage.changes import lasting_folder
from cxr_tasks.installation.storage.private import close_to_others, write_private_text

#: Starts the runs of the list of requests: no person's, so that no person's name stands for what nobody asked for.
LIST_USER = "cxr-requests"
#: Airflow's users and their roles (viewer < user < op < admin), beside those who approve.
AIRFLOW_USERS = {"admin": "admin", "viewer": "viewer", LIST_USER: "user"}
AIRFLOW_PASSWORDS = "airflow_passwords.json"
MLFLOW_USER = "admin"
MLFLOW_PASSWORD = "mlflow_admin_password"  # noqa: S105  a file name


def new_password() -> str:
    """144 random bits as 24 letters, digits, ``-`` and ``_``: safe in a URL, a shell and a configuration file."""
    return secrets.token_urlsafe(18)


def new_fernet_key() -> str:
    """32 random bytes in URL-safe base64, the key format of Airflow's stored connections."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


#: File name -> what makes its content.
KEYS: dict[str, Callable[[], str]] = {
    MLFLOW_PASSWORD: new_password,
    "mlflow_flask_key": lambda: secrets.token_hex(32),
    "airflow_fernet_key": new_fernet_key,
    "airflow_jwt_secret": lambda: secrets.token_urlsafe(48),
    "airflow_api_secret_key": lambda: secrets.token_urlsafe(48),
}


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password; the password is left out of ``repr`` so that no log line can carry it."""

    username: str
    password: str = field(repr=False)


def airflow_users(approvers: Iterable[str] = ()) -> dict[str, str]:
    """Airflow's users and their roles; an approver is at least a ``user``, whose answers Airflow accepts.

    >>> airflow_users(["admin", "dr.weber"])
    {'admin': 'admin', 'viewer': 'viewer', 'cxr-requests': 'user', 'dr.weber': 'user'}
    """
    return AIRFLOW_USERS | {name: "user" for name in approvers if AIRFLOW_USERS.get(name) != "admin"}


def ensure_logins(folder: Path, approvers: Iterable[str] = ()) -> None:
    """Make what is missing of the stack's logins and keys; what exists stays as it is.

    The folder ends with mode 0700 and each file with 0600, also where they were wider before.

    Raises:
        ConfigurationError: The folder or a file in it belongs to another user or is a link.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    close_to_others(_owned(folder, stat.S_ISDIR))
    for name, make in KEYS.items():
        if not (folder / name).exists():
            write_private_text(folder / name, make() + "\n")
    passwords = _airflow_passwords(folder) if (folder / AIRFLOW_PASSWORDS).exists() else {}
    missing = {user: new_password() for user in airflow_users(approvers) if user not in passwords}
    if missing:
        write_private_text(folder / AIRFLOW_PASSWORDS, json.dumps(passwords | missing) + "\n")
    for name in (*KEYS, AIRFLOW_PASSWORDS):
        close_to_others(_owned(folder / name, stat.S_ISREG))


def require_logins(folder: Path, approvers: Iterable[str] = ()) -> None:
    """``ConfigurationError`` that names what is missing of the stack's logins and keys in a folder that others fill."""
    missing = [name for name in (*KEYS, AIRFLOW_PASSWORDS) if not (folder / name).is_file()]
    if not missing:
        missing = [
            f"login of {airflow_user}"
            for airflow_user in airflow_users(approvers)
            if airflow_user not in _airflow_passwords(folder)
        ]
    if missing:
        raise ConfigurationError(f"{folder}: expected secrets that others made, missing: {', '.join(missing)}")


def read_key(folder: Path, name: str) -> str:
    """The key or password kept in file ``name``; ``ServiceUnavailable`` before the first start."""
    try:
        return (folder / name).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise ServiceUnavailable(
            f"{folder / name}: no login yet; the first 'make up' makes it (CXR_HOME says whose run-time folder)"
        ) from None


def airflow_login(folder: Path, user: str = "admin") -> Login:
    """The name and password of one of Airflow's users."""
    return Login(user, _airflow_passwords(folder)[user])


def mlflow_login(folder: Path) -> Login:
    """The name and password of MLflow's administrator."""
    return Login(MLFLOW_USER, read_key(folder, MLFLOW_PASSWORD))


def writable_passwords(folder: Path) -> Path:
    """The file of Airflow's passwords, or a copy for the owner only where that one may not be written."""
    passwords = folder / AIRFLOW_PASSWORDS
    if os.access(passwords, os.W_OK):
        return passwords
    copy = lasting_folder() / passwords.name
    write_private_text(copy, read_key(folder, AIRFLOW_PASSWORDS) + "\n")
    return copy


def _airflow_passwords(folder: Path) -> dict[str, str]:
    text = read_key(folder, AIRFLOW_PASSWORDS)
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        raise ConfigurationError(
            f"{folder / AIRFLOW_PASSWORDS}: expected a JSON object of users and passwords; "
            "remove the file, the next 'make up' makes new passwords"
        ) from None


def _owned(path: Path, is_expected_kind: Callable[[int], bool]) -> Path:
    status = path.lstat()
    if not is_expected_kind(status.st_mode) or status.st_uid != os.getuid():
        raise ConfigurationError(
            f"{path}: expected a plain file or folder of this user, found a link, another kind, or another "
            "user's; move it away, the next 'make up' makes a new one"
        )
    return path
