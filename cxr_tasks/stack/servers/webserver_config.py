"""Settings of Flask-AppBuilder, which keeps Airflow's logins with ``CXR_LOGINS=fab``: names in capitals are its own.

Without ``CXR_OIDC_ISSUER`` people log in with generated passwords (``make login``). With it they log in there, and have
at each login the roles that their groups have there; programs keep their passwords, by Airflow's API. Written for
Keycloak, whose client is confidential, has the redirect URI ``CXR_PUBLIC_URL/auth/oauth-authorized/keycloak`` and a
mapper that puts group names (no paths) into the claim ``groups`` of the user info. An approval is answered by a login's
name (``preferred_username``): "Edit username" of the realm stays off, or whoever takes a free approver's name is one.
"""

from __future__ import annotations

from flask_appbuilder.const import AUTH_DB, AUTH_OAUTH

from cxr_tasks.installation.oidc import Oidc
from cxr_tasks.stack.servers.fab_logins import CxrSecurityManager

_provider = Oidc.configured()

WTF_CSRF_ENABLED = True
AUTH_RATE_LIMITED = True
AUTH_RATE_LIMIT = "10 per 40 second"
AUTH_TYPE = AUTH_DB if _provider is None else AUTH_OAUTH
SESSION_COOKIE_HTTPONLY, SESSION_COOKIE_SAMESITE = True, "Lax"

if _provider is not None:
    SECURITY_MANAGER_CLASS = CxrSecurityManager
    AUTH_USER_REGISTRATION = True
    #: Somebody without one of the groups can log in and sees nothing.
    AUTH_USER_REGISTRATION_ROLE = "Public"
    AUTH_ROLES_SYNC_AT_LOGIN = True
    AUTH_ROLES_MAPPING = _provider.groups
    OAUTH_PROVIDERS = [
        {
            "name": "keycloak",
            "icon": "fa-key",
            "token_key": "access_token",
            "remote_app": {
                "client_id": _provider.client,
                "client_secret": _provider.client_secret,
                "server_metadata_url": f"{_provider.issuer}/.well-known/openid-configuration",
                "api_base_url": f"{_provider.issuer}/protocol/",
                "client_kwargs": {"scope": "openid email profile"},
            },
        }
    ]
