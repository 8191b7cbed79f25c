"""Engines are settings: what goes together, what each needs, and that none is one machine."""

from __future__ import annotations

import importlib.util

import pytest

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.engines import Engines
from cxr_tasks.installation.storage.addresses import SECRETS, is_shared, read_address


def test_without_a_setting_all_is_on_one_machine_and_in_files():
    engines = Engines.requested({})
    assert (engines.executor, engines.database, engines.bucket) == ("LocalExecutor", "sqlite", "")
    assert engines.hosts == ("127.0.0.1",) * 3
    assert engines.needed_secrets() == ()
    assert engines.as_environment() == {}


def test_what_was_asked_for_is_asked_for_again_in_programs_and_tasks():
    asked = {
        "CXR_EXECUTOR": "CeleryExecutor,KubernetesExecutor",
        "CXR_DATABASE": "postgres",
        "CXR_BUCKET": "cxr-platform",
        "CXR_MODEL_HOST": "model-server",
        "CXR_LISTEN": "0.0.0.0",
        "CXR_PUBLIC_URL": "https://cxr.example.org",
        "CXR_PUBLIC_MLFLOW_URL": "https://cxr.example.org:5443",
        "CXR_PUBLIC_GRPC": "cxr.example.org:8543",
        "CXR_CLUSTER_SLOTS": "12",
    }
    engines = Engines.requested(asked)
    assert engines.as_environment() == asked
    assert engines.is_celery and engines.is_postgres
    assert set(engines.needed_secrets()) == set(SECRETS)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"CXR_EXECUTOR": "CeleryExecuter"}, "expected LocalExecutor or .*; did you mean 'CeleryExecutor'"),
        ({"CXR_EXECUTOR": "CeleryExecutor"}, "tasks on other machines need CXR_DATABASE=postgres, found sqlite"),
        ({"CXR_DATABASE": "mysql"}, "CXR_DATABASE=mysql: expected sqlite or postgres"),
        ({"CXR_BUCKET": "s3://cxr"}, "CXR_BUCKET=s3://cxr: expected a bucket's name"),
        ({"CXR_AIRFLOW_HOST": "api:8080"}, "CXR_AIRFLOW_HOST=api:8080: expected a host's name"),
        ({"CXR_PUBLIC_URL": "cxr.example.org"}, "CXR_PUBLIC_URL=cxr.example.org: expected such as https://"),
        ({"CXR_PUBLIC_MLFLOW_URL": "https://a.org/b"}, "CXR_PUBLIC_MLFLOW_URL=https://a.org/b: .* without a path"),
        ({"CXR_PUBLIC_GRPC": "grpc://a.org"}, "CXR_PUBLIC_GRPC=grpc://a.org: expected a host and a port"),
        ({"CXR_CLUSTER_SLOTS": "many"}, "CXR_CLUSTER_SLOTS=many: expected a number of tasks"),
    ],
)
def test_what_cannot_be_is_named(asked, message):
    with pytest.raises(ConfigurationError, match=message):
        Engines.requested(asked)


def test_a_missing_address_is_named_with_such_as_it_is_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # as where the packages are installed
    engines = Engines.requested({"CXR_DATABASE": "postgres"})
    with pytest.raises(
        ConfigurationError, match=r"airflow_database: expected one line such as postgresql\+psycopg2://"
    ):
        engines.require_ready(tmp_path)
    for name in engines.needed_secrets():
        (tmp_path / name).write_text("postgresql://user:secret@host/db\n")
    engines.require_ready(tmp_path)
    assert read_address("shared_database", tmp_path) == "postgresql://user:secret@host/db"


def test_a_line_that_is_no_address_is_not_shown(tmp_path):
    (tmp_path / "celery_broker").write_text("only-a-password\n")
    with pytest.raises(ConfigurationError) as raised:
        read_address("celery_broker", tmp_path)
    assert "only-a-password" not in str(raised.value)


def test_files_are_shared_only_where_it_was_asked_for(monkeypatch):
    monkeypatch.delenv("CXR_DATABASE", raising=False)
    assert not is_shared()
    monkeypatch.setenv("CXR_DATABASE", "postgres")
    assert is_shared()


def test_a_package_that_is_not_installed_is_named_with_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"CXR_BUCKET=cxr: expected the package boto3, .* 'make CLUSTER=1'"):
        Engines.requested({"CXR_BUCKET": "cxr"}).require_ready(tmp_path)
    Engines().require_ready(tmp_path)
