"""People from an identity provider: the real code of Airflow's logins against a provider that speaks as Keycloak does.

Keycloak itself is not to be had here: the stand-in has its addresses, signs tokens and asks for the client's secret.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from cxr_tasks.installation.engines import Engines
from cxr_tasks.installation.logins import ensure_logins
from cxr_tasks.installation.oidc import SECRET_FILE
from cxr_tasks.installation.settings import StackSettings
from cxr_tasks.installation.storage.files import write_json
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.stack.servers.airflow_config import write_airflow_config

pytestmark = [
    pytest.mark.airflow_db,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(importlib.util.find_spec("authlib") is None, reason="needs Authlib (make CLUSTER=1)"),
]
SECRET = "the client's secret"

#: Logs people in one after the other and prints who each of them is then, as JSON.
LOG_IN = """
import json, sys
import requests
from airflow.providers.fab.www.app import create_app
app = create_app(enable_plugins=False)
from airflow.providers.fab.www.utils import get_fab_auth_manager
found = []
for _ in range(int(sys.argv[1])):
    with app.test_client() as browser:
        to_provider = browser.get("/login/keycloak")
        back = requests.get(to_provider.location, allow_redirects=False, timeout=60).headers["Location"]
        browser.get("/" + back.split("/", 3)[3].removeprefix("auth/"))
        with browser.session_transaction() as session:
            number = session.get("_user_id")
    with app.app_context():
        user = number and app.appbuilder.sm.get_user_by_id(int(number))
        found.append({"name": user.username, "roles": sorted(r.name for r in user.roles)} if user else None)
with app.app_context():
    admin = app.appbuilder.sm.find_user(username="admin")
    known = sorted(one.username for one in app.appbuilder.sm.get_all_users())
print(json.dumps({"logins": found, "admin": [r.name for r in admin.roles], "users": known}))
"""


class Keycloak:
    """A realm; ``people`` are who logs in, one after the other."""

    def __init__(self, people: list[dict]):
        from joserfc.jwk import RSAKey

        self.people, self.key = list(people), RSAKey.generate_key(2048, {"kid": "k", "use": "sig", "alg": "RS256"})
        self.now: dict[str, dict] = {}
        self.nonces: dict[str, str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.get(self)

            def do_POST(self):
                outer.token(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}/realms/hospital"

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        address, base = urlsplit(handler.path), f"{self.issuer}/protocol/openid-connect"
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path.endswith("/.well-known/openid-configuration"):
            endpoints = {"authorization": "auth", "token": "token", "userinfo": "userinfo"}
            known = {f"{name}_endpoint": f"{base}/{path}" for name, path in endpoints.items()}
            self.answer(handler, {"issuer": self.issuer, "jwks_uri": f"{base}/certs", **known})
        elif address.path.endswith("/certs"):
            self.answer(handler, {"keys": [self.key.as_dict(private=False)]})
        elif address.path.endswith("/auth"):
            assert asked["client_id"] == "cxr"
            code = f"code-{len(self.people)}"
            self.now[code], self.nonces[code] = self.people.pop(0), asked.get("nonce", "")
            handler.send_response(302)
            back = urlencode({"code": code, "state": asked["state"]})
            handler.send_header("Location", f"{asked['redirect_uri']}?{back}")
            handler.end_headers()
        else:
            code = handler.headers["Authorization"].removeprefix("Bearer ")
            self.answer(handler, self.now[code])

    def token(self, handler: BaseHTTPRequestHandler) -> None:
        from joserfc import jwt

        asked = parse_qs(handler.rfile.read(int(handler.headers["Content-Length"])).decode())
        basic = base64.b64decode(handler.headers["Authorization"].removeprefix("Basic ")).decode()
        assert basic.partition(":")[2] in (SECRET, urlencode({"": SECRET})[1:]), "not the client"
        code, now = asked["code"][0], int(time.time())
        claims = {"iss": self.issuer, "aud": "cxr", "sub": code, "iat": now, "exp": now + 300}
        claims |= {"nonce": self.nonces[code]} if self.nonces[code] else {}
        signed = jwt.encode({"alg": "RS256", "kid": "k"}, claims, self.key)
        self.answer(handler, {"access_token": code, "token_type": "Bearer", "expires_in": 300, "id_token": signed})

    @staticmethod
    def answer(handler: BaseHTTPRequestHandler, content: dict) -> None:
        body = json.dumps(content).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def person(name: str, *groups: str) -> dict:
    return {
        "preferred_username": name, "given_name": name, "family_name": "x", "email": f"{name}@example.org",
        "groups": list(groups),
    }  # fmt: skip


PEOPLE = [
    person("dr.weber", "cxr-approvers", "staff"),
    person("dr.okafor", "staff"),
    person("dr.weber", "cxr-viewers"),  # no approver any more
    person("admin", "cxr-approvers"),
    person("ms.lee", "cxr-operators", "cxr-approvers"),
]


@pytest.fixture(scope="module")
def came(tmp_path_factory) -> Iterator[dict]:
    home = tmp_path_factory.mktemp("oidc") / "var"
    keycloak = Keycloak(PEOPLE)
    settings = StackSettings(
        home=home, dags=PROJECT_ROOT / "dags", airflow_port=18080, mlflow_port=15000, grpc_port=18500, rest_port=18501,
        approvers=("admin", "dr.weber"), engines=Engines(logins="fab"),
    )  # fmt: skip
    for folder in (settings.airflow_home, settings.stack_folder):
        folder.mkdir(parents=True)
    ensure_logins(settings.secrets, settings.approvers)
    (settings.secrets / SECRET_FILE).write_text(SECRET + "\n")
    write_airflow_config(settings)
    write_json(settings.record, settings.as_record())
    environment = os.environ | {
        "CXR_HOME": str(home),
        "CXR_LOGINS": "fab",
        "CXR_OIDC_ISSUER": keycloak.issuer,
        "AIRFLOW_HOME": str(settings.airflow_home),
        "AUTHLIB_INSECURE_TRANSPORT": "1",
        "NO_PROXY": "127.0.0.1",
    }
    made = run(["-m", "cxr_tasks.stack.servers.fab_people"], environment)
    assert made.returncode == 0, made.stderr[-3000:]
    done = run(["-c", LOG_IN, str(len(PEOPLE))], environment)
    assert done.returncode == 0, done.stderr[-4000:]
    assert SECRET not in done.stdout + done.stderr + made.stdout + made.stderr
    yield json.loads(done.stdout.splitlines()[-1]) | {"said": done.stdout + done.stderr}
    keycloak.server.shutdown()
    keycloak.server.server_close()


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command], cwd=PROJECT_ROOT, env=environment, check=False, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip


def test_people_have_the_roles_of_their_groups_anew_at_each_login(came):
    """And ``Public``, which may nothing."""
    assert came["logins"][0] == {"name": "dr.weber", "roles": ["Approver", "Public"]}
    assert came["logins"][2] == {"name": "dr.weber", "roles": ["Public", "Viewer"]}
    assert came["logins"][4] == {"name": "ms.lee", "roles": ["Approver", "Operator", "Public"]}


def test_somebody_without_a_group_has_no_right(came):
    assert came["logins"][1] == {"name": "dr.okafor", "roles": ["Public"]}


def test_nobody_comes_under_the_name_of_the_platform_s_own_logins(came):
    assert came["logins"][3] is None
    assert came["admin"] == ["Admin"]


def test_a_person_of_the_provider_has_no_password_here(came):
    """Before they came, only what programs log in as was there: ``dr.weber`` is an approver by name, not made here."""
    assert came["users"] == ["admin", "cxr-requests", "dr.okafor", "dr.weber", "ms.lee", "viewer"]


def test_the_secret_is_no_setting(tmp_path: Path):
    text = (PROJECT_ROOT / "cxr_tasks" / "stack" / "servers" / "webserver_config.py").read_text()
    assert "client_secret" in text and "environ" not in text
