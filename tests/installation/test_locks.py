"""What is installed is held by hashes; the GPU's libraries come on top of the same lock."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from cxr_tasks.installation.storage.paths import PROJECT_ROOT

LOCK, GPU_LOCK = (PROJECT_ROOT / name for name in ("requirements.lock", "requirements-gpu.lock"))


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
    for path in (LOCK, GPU_LOCK):
        assert all(pins(path).values()), path
        assert "://" not in path.read_text(encoding="utf-8")


def test_the_gpu_adds_nvidias_libraries_and_moves_nothing():
    added = pins(GPU_LOCK)
    assert {"nvidia-cudnn-cu12", "nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12"} <= set(added)
    assert all(name.startswith("nvidia-") for name in added)
    assert not set(added) & set(pins(LOCK))


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(
    ("gpu", "locks", "stamp"),
    [
        ("", "requirements.lock", ".venv/.ready"),
        ("0", "requirements.lock", ".venv/.ready"),
        ("1", "requirements.lock requirements-gpu.lock", ".venv/.ready-gpu"),
    ],
)
def test_make_installs_both_locks_where_a_gpu_is_asked_for(gpu, locks, stamp):
    given = ["make", "--no-print-directory", "--dry-run", "--always-make", f"GPU={gpu}", "bench"]
    shown = subprocess.run(given, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout
    (sync,) = [line for line in shown.splitlines() if "uv pip sync" in line]
    assert sync.split("--require-hashes ")[1].split() == locks.split()
    assert f"touch {stamp}\n" in shown
