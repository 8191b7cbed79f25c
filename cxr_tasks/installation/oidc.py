"""People's logins from an identity provider such as Keycloak: where it is, and which of its groups have which role."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.storage.paths import secrets_root

ISSUER, CLIENT, GROUPS = "CXR_OIDC_ISSUER", "CXR_OIDC_CLIENT", "CXR_OIDC_GROUPS"
#: File of the secrets with the client's secret.
SECRET_FILE = "oidc_client_secret"  # noqa: S105  a file name
ROLES = ("Viewer", "Operator", "Approver", "Admin")
_USUAL = "cxr-viewers=Viewer,cxr-operators=Operator,cxr-approvers=Approver,cxr-admins=Admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    """An OpenID Connect provider."""

    issuer: str
    """``https://keycloak.example.org/realms/hospital``"""
    client: str
    client_secret: str = field(repr=False)
    groups: dict[str, list[str]]
    """Group, as the claim ``groups`` has it -> roles of ``ROLES``."""

    @classmethod
    def configured(cls, environment: Mapping[str, str] | None = None, secrets: Path | None = None) -> Oidc | None:
        """What the environment says; None where it names no provider.

        Raises:
            ConfigurationError: The address is not one, the secret is not there, or a role is not known.
        """
        environment = os.environ if environment is None else environment
        issuer = environment.get(ISSUER, "").rstrip("/")
        if not issuer:
            return None
        if not re.fullmatch(r"https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?[^\s?#]*", issuer):
            raise ConfigurationError(
                f"{ISSUER}={issuer}: expected such as https://keycloak.example.org/realms/hospital"
            )
        path = (secrets or secrets_root()) / SECRET_FILE
        secret = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
        if not secret:
            raise ConfigurationError(f"{path}: expected the secret of the client at {issuer} on one line, found none")
        client = environment.get(CLIENT) or "cxr"
        return cls(
            issuer=issuer, client=client, client_secret=secret, groups=_groups(environment.get(GROUPS) or _USUAL)
        )


def _groups(text: str) -> dict[str, list[str]]:
    roles: dict[str, list[str]] = {}
    for pair in text.split(","):
        group, is_pair, role = (side.strip() for side in pair.partition("="))
        if not (group and is_pair and role in ROLES):
            raise ConfigurationError(
                f"{GROUPS}: expected group=role, separated by commas, with a role of {', '.join(ROLES)}; found {pair!r}"
            )
        roles.setdefault(group, []).append(role)
    return roles
