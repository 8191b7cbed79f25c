"""The secrets of a stack under a passphrase: scrypt makes the key, Fernet (AES-128-CBC and HMAC-SHA256) seals.

Source: RFC 7914 for scrypt; cost 2**15, 8, 1 takes 32 MiB and a tenth of a second, more than a guesser can afford.
"""

from __future__ import annotations

import base64
import getpass
import os
import sys
from collections.abc import Mapping

from cxr_tasks.contracts.errors import ConfigurationError

PASSPHRASE_VARIABLE = "CXR_BACKUP_PASSPHRASE"  # noqa: S105  a variable's name
LEAST_LENGTH = 12
SALT_BYTES = 16
_COST, _BLOCK, _PARALLEL = 2**15, 8, 1


def sealed(content: bytes, passphrase: str) -> bytes:
    """``content`` under ``passphrase``: 16 bytes of salt, then the sealed text."""
    from cryptography.fernet import Fernet

    salt = os.urandom(SALT_BYTES)
    return salt + Fernet(_key(passphrase, salt)).encrypt(content)


def opened(content: bytes, passphrase: str) -> bytes:
    """What was sealed; ``ConfigurationError`` where the passphrase is another, or the content was changed."""
    from cryptography.fernet import Fernet, InvalidToken

    try:
        return Fernet(_key(passphrase, content[:SALT_BYTES])).decrypt(content[SALT_BYTES:])
    except InvalidToken:
        raise ConfigurationError(
            "the passphrase does not open the secrets of this backup (or they were changed); restore them with the one "
            "it was made with, or all else with --without-secrets"
        ) from None


def asked_passphrase(environment: Mapping[str, str], *, twice: bool) -> str:
    """The passphrase in ``CXR_BACKUP_PASSPHRASE``, else asked for at the terminal.

    Raises:
        ConfigurationError: There is neither, the two answers differ, or it is too short.
    """
    text = environment.get(PASSPHRASE_VARIABLE, "")
    if not text:
        if not sys.stdin.isatty():
            raise ConfigurationError(
                f"expected a passphrase for the secrets in {PASSPHRASE_VARIABLE}, found none, and nobody to ask; "
                "or leave them out with --without-secrets"
            )
        text = getpass.getpass("passphrase of the secrets: ")
        if twice and getpass.getpass("once more: ") != text:
            raise ConfigurationError("the two passphrases differ; nothing was done")
    if len(text) < LEAST_LENGTH:
        raise ConfigurationError(f"expected a passphrase of at least {LEAST_LENGTH} characters, found {len(text)}")
    return text


def _key(passphrase: str, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    raw = Scrypt(salt=salt, length=32, n=_COST, r=_BLOCK, p=_PARALLEL).derive(passphrase.encode())
    return base64.urlsafe_b64encode(raw)
