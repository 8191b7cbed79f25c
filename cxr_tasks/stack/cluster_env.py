"""``python -m cxr_tasks.stack.cluster_env``: settings and generated secrets of ``docker/compose.yaml``.

What is there stays as it is, so it may be run again; nothing has a password that is written down anywhere else.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.installation.approvers import approvers
from cxr_tasks.installation.logins import ensure_logins
from cxr_tasks.installation.oidc import SECRET_FILE
from cxr_tasks.installation.patient_keys import patient_secret
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from cxr_tasks.installation.storage.private import keep_private_text

#: Who owns files in the containers where root makes them: a user without rights, as in ``docker/Dockerfile``.
UNPRIVILEGED = 50000
_ROLES = ("airflow", "mlflow", "cxr")
#: Variable -> the usual port of the proxy on this machine: Airflow, MLflow, gRPC.
_PORTS = {"CXR_AIRFLOW_HTTPS_PORT": "8443", "CXR_MLFLOW_HTTPS_PORT": "5443", "CXR_GRPC_TLS_PORT": "8543"}


def main() -> int:
    try:
        folder = write_cluster_env(PROJECT_ROOT / "docker", os.environ)
    except CxrError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"settings: {folder / '.env'}; secrets, for their owner only: {folder / 'secrets'}")
    return 0


def write_cluster_env(folder: Path, environment: Mapping[str, str]) -> Path:
    """Write ``.env``, ``secrets/`` and the empty folder of backups below ``folder`` where they are not there yet, and
    return ``folder``.
    """
    uid = os.getuid() or UNPRIVILEGED
    kept = folder / "secrets"
    _own(kept, os.getuid())
    ensure_logins(kept, approvers(environment))
    patient_secret(kept)
    for name, text in _addresses(kept).items():
        keep_private_text(kept / name, text + "\n")
    _own(kept, uid)
    (folder / "backups").mkdir(mode=0o700, exist_ok=True)
    _own(folder / "backups", uid)
    site = environment.get("CXR_SITE") or "localhost"
    ports = {name: environment.get(name) or usual for name, usual in _PORTS.items()}
    airflow, mlflow, grpc = ports.values()
    settings = {
        "CXR_UID": str(uid),
        "CXR_SITE": site,
        **ports,
        "CXR_PUBLIC_URL": environment.get("CXR_PUBLIC_URL") or f"https://{site}:{airflow}",
        "CXR_PUBLIC_MLFLOW_URL": environment.get("CXR_PUBLIC_MLFLOW_URL") or f"https://{site}:{mlflow}",
        "CXR_PUBLIC_GRPC": environment.get("CXR_PUBLIC_GRPC") or f"{site}:{grpc}",
        "CXR_APPROVERS": ",".join(approvers(environment)),
    }
    lines = ["# Made by make cluster-env; change what you like, it is not written again. All others: docker/README.md."]
    lines += [f"{name}={value}" for name, value in settings.items()]
    keep_private_text(folder / ".env", "\n".join(lines) + "\n")
    return folder


def _addresses(kept: Path) -> dict[str, str]:
    """File -> content, of what reaches the engines; passwords that are there already are taken up."""
    passwords = {role: _known(kept / f"postgres_{role}") for role in (*_ROLES, "superuser")}
    broker, key, secret = _known(kept / "broker_password"), _known(kept / "s3_key"), _known(kept / "s3_secret")

    def database(role: str, name: str, scheme: str = "postgresql") -> str:
        return f"{scheme}://{role}:{passwords[role]}@database:5432/{name}"

    identity = {
        "name": "cxr",
        "credentials": [{"accessKey": key, "secretKey": secret}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    return {
        **{f"postgres_{role}": password for role, password in passwords.items()},
        "broker_password": broker,
        "s3_key": key,
        "s3_secret": secret,
        "grafana_password": _known(kept / "grafana_password"),
        SECRET_FILE: "",  # of an identity provider, which gives it; containers want a file
        "airflow_database": database("airflow", "airflow", "postgresql+psycopg2"),
        "mlflow_database": database("mlflow", "mlflow"),
        "mlflow_logins_database": database("mlflow", "mlflow_logins"),
        "shared_database": database("cxr", "cxr"),
        "celery_broker": f"redis://:{broker}@broker:6379/0",
        "celery_results": f"redis://:{broker}@broker:6379/1",
        "broker.conf": f"bind 0.0.0.0\nport 6379\nrequirepass {broker}\ndir /data\nappendonly yes\nprotected-mode yes",
        "s3_credentials": f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}",
        "store.json": json.dumps({"identities": [identity]}, indent=2),
    }


def _own(folder: Path, uid: int) -> None:
    """Give folder and files to a user, which root may; another user owns them already."""
    if not os.getuid() and folder.is_dir():
        for path in (folder, *folder.iterdir()):
            os.chown(path, uid, -1, follow_symlinks=False)


def _known(path: Path) -> str:
    return path.read_text(encoding="ascii").strip() if path.is_file() else secrets.token_hex(24)


if __name__ == "__main__":
    sys.exit(main())
