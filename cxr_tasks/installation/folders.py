"""Folders that the stack can live in: their names, and a home for a user who has none. Standard library only.

``python -m cxr_tasks.installation.folders`` checks them before anything is installed, and prints the user's home.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import MutableMapping
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.storage.paths import PROJECT_ROOT, home

#: Quotes, backslashes, braces, ``; % #`` and ``$`` mean something in the configuration files of supervisord and
#: Airflow, ``?`` ends a path in the address of an SQLite database.
_REFUSED = "\"'\\{};%#$?"
#: A colon parts the entries of ``PATH`` and ``PYTHONPATH``; Python makes no environment below such a folder.
_REFUSED_IN_CHECKOUT = _REFUSED + ":"


def require_holdable(folder: Path, variable: str) -> None:
    """``ConfigurationError`` naming the first character that keeps the stack out of ``folder``; spaces are fine.

    Args:
        folder: Absolute.
        variable: What moves it (``CXR_HOME``); for the checkout an empty string.
    """
    for part in folder.parts[1:]:
        refused = _REFUSED if variable else _REFUSED_IN_CHECKOUT
        odd = next((character for character in part if character in refused or not character.isprintable()), None)
        if odd is None and part == part.strip():
            continue
        what = f"{odd!r} in it" if odd is not None else "a space at its beginning or end"
        remedy = f"choose another folder ({variable})" if variable else "move the checkout to another folder"
        whose = "this folder" if variable else "the folder of the checkout"
        raise ConfigurationError(
            f"{str(folder)!r}: {whose} has a name, {part!r}, with {what}, which configuration files and search paths "
            f"cannot hold; {remedy}"
        )


def require_folders() -> None:
    """Checkout and run-time folder; ``ConfigurationError`` for a name that cannot be."""
    require_holdable(PROJECT_ROOT, "")
    require_holdable(home(), "CXR_HOME")


def settle_user_home(environment: MutableMapping[str, str]) -> None:
    """Set ``HOME`` to a folder below the run-time folder where the user has none that can be written to.

    A container started under a bare user id has no entry in the user database, and ``HOME`` is absent or ``/``;
    several libraries then end with 'Could not determine home directory', hours into a run.

    Raises:
        ConfigurationError: The run-time folder cannot be written to either.
    """
    told = environment.get("HOME") or _of_user_database()
    if told and Path(told).is_dir() and os.access(told, os.W_OK | os.X_OK):
        return
    folder = home() / "user"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            f"HOME={told or ''}: expected a folder that this user may write to, and none could be made as {folder} "
            f"({error.strerror}); set HOME, or CXR_HOME to a folder of this user"
        ) from None
    environment["HOME"] = str(folder)


def _of_user_database() -> str | None:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None


if __name__ == "__main__":
    try:
        require_folders()
        settle_user_home(os.environ)
    except ConfigurationError as error:
        sys.exit(str(error))
    print(os.environ.get("HOME") or _of_user_database())
