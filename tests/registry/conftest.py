"""A registry with nothing in it for each test; its database is made once."""

from __future__ import annotations

import functools
import shutil

import pytest

from cxr_tasks.installation.storage.paths import audit_log
from tests.registry.proposed import MODEL, propose


@pytest.fixture(scope="package")
def database(tmp_path_factory, empty_mlflow_database):
    """A client of an MLflow store in a SQLite file, and the run-time folder that goes with it."""
    from cxr_tasks.registry import tracking

    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("var")
        (folder / "mlflow").mkdir()
        shutil.copyfile(empty_mlflow_database, folder / "mlflow" / "mlflow.db")
        patched.setenv("CXR_HOME", str(folder))
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield tracking.client(), folder


@pytest.fixture
def propose_version(database, tmp_path, monkeypatch):
    """``propose`` in a registry and an audit log of the test's own."""
    client, folder = database
    monkeypatch.setenv("CXR_HOME", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client.create_registered_model(MODEL)
    yield functools.partial(propose, client, tmp_path)
    client.delete_registered_model(MODEL)
    shutil.rmtree(audit_log().parent, ignore_errors=True)
