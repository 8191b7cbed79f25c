"""Releases that meet, are killed, or lose disk or registry: what serves is whole, and the server answers."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from cxr_tasks.contracts.errors import ReleaseRefused, ServiceUnavailable
from cxr_tasks.installation.storage.paths import PROJECT_ROOT
from serving.client import running
from serving.export.golden import golden_images
from serving.served.leftovers import settle_all
from serving.served.state import locked, read_state
from serving.served.version_folders import versions_on_disk

pytestmark = [pytest.mark.tf, pytest.mark.serving, pytest.mark.mlflow]

#: A release of the prepared version argv[1], in a process whose n-th rename (argv[2]) is its end, or whose files may
#: have no more than argv[3] bytes.
RELEASE = """
import os, resource, signal, sys
from functools import partial
from pathlib import Path
from cxr_tasks.installation.settings import StackSettings
from serving.check import smoke
from serving.served.leftovers import settle
from serving.served.state import locked
from serving.release.switch import Switch

version, last, most_bytes = (int(one) for one in sys.argv[1:4])
settings = StackSettings(home=Path(os.environ["CXR_HOME"]), dags=Path(), airflow_port=1, mlflow_port=2,
                         grpc_port=int(sys.argv[4]), rest_port=int(sys.argv[5]))
n_renames = 0
def counted(rename):
    def renamed(*paths):
        global n_renames
        n_renames += 1
        if n_renames == last:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*paths)
    return renamed

exported = settings.home / "exports" / "cxr_binary" / str(version) / str(version)
with locked("cxr_binary", f"a release of version {version}"):
    state = settle("cxr_binary")
    os.rename, os.replace = counted(os.rename), counted(os.replace)
    if most_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    Switch(settings, "cxr_binary", partial(smoke.smoke_test, settings, "cxr_binary")).to_stable(
        state, version, previous=state.stable, exported=exported
    )
print("released after", n_renames, "renames")
"""


def run_release(platform, version: int, *, killed_at: int = 0, most_bytes: int = 0) -> subprocess.CompletedProcess:
    ports = platform.settings.grpc_port, platform.settings.rest_port
    words = [str(one) for one in (version, killed_at, most_bytes, *ports)]
    return subprocess.run(
        [sys.executable, "-c", RELEASE, *words], capture_output=True, text=True, check=False, cwd=PROJECT_ROOT
    )


def require_whole(platform) -> int:
    """The version that serves, once state, disk, label and answers agree on it."""
    settle_all()
    state = read_state("cxr_binary")
    running.wait_labelled(platform.settings, "cxr_binary", "stable", state.stable, 60)
    for other in set(platform.served()) - {state.stable}:
        running.wait_unloaded(platform.settings, "cxr_binary", other, 60)
    assert platform.served() == [state.stable]
    assert state.changing is None
    assert versions_on_disk("cxr_binary") == sorted(state.kept)
    platform.predict(golden_images()["wide_rgb.jpeg"], "stable")
    return state.stable


def test_a_release_killed_at_any_step_leaves_a_whole_champion(platform):
    new = platform.new_version().version
    outcomes = []
    for step in range(1, 20):
        done = run_release(platform, new, killed_at=step)
        # The label answers at once, before anything is put in order.
        platform.predict(golden_images()["wide_rgb.jpeg"], "stable")
        outcomes.append(require_whole(platform))
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        if outcomes[-1] == new:
            # Past the point of no return; the remaining steps are tried with the next version.
            new = platform.new_version().version
    assert "released after" in done.stdout
    assert len(outcomes) >= 7
    assert outcomes[0] < outcomes[-1]


@pytest.mark.parametrize("most_bytes", [20_000, 1])
def test_a_full_disk_changes_nothing(platform, most_bytes):
    """With 20,000 bytes a file the SavedModel cannot be written, with 1 not even the state can."""
    before = read_state("cxr_binary")
    new = platform.new_version().version
    done = run_release(platform, new, most_bytes=most_bytes)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert require_whole(platform) == before.stable
    assert read_state("cxr_binary").previous == before.previous
    # With room again, it serves.
    assert run_release(platform, new).returncode == 0
    assert require_whole(platform) == new


def test_two_releases_at_once_end_with_the_champion(platform):
    first, second = platform.new_version(), platform.new_version()
    outcomes: dict[int, str] = {}

    def release(registered) -> None:
        try:
            platform.release(registered)
            outcomes[registered.version] = "served"
        except ReleaseRefused as error:
            outcomes[registered.version] = str(error)

    threads = [threading.Thread(target=release, args=(one,)) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes[second.version] == "served"
    assert "to be champion still" in outcomes[first.version]
    assert require_whole(platform) == second.version


def test_a_rollback_beside_a_release_waits_for_it(platform):
    from cxr_tasks.registry.versions import version_with_alias
    from serving.release.rollback import roll_back

    before = read_state("cxr_binary").stable
    new = platform.new_version()
    releasing = threading.Thread(target=platform.release, args=(new,))
    releasing.start()
    while read_state("cxr_binary").changing is None:
        assert releasing.is_alive()
    with pytest.raises(ServiceUnavailable, match=f"a release of version {new.version}"), locked("cxr_binary", wait_s=0):
        pass
    done = roll_back("cxr_binary", platform.settings, who="test", why="too late to stop it")
    releasing.join()
    assert (done.version, done.taken_back) == (before, new.version)
    assert require_whole(platform) == before
    assert int(version_with_alias("cxr_binary", "champion").version) == before


def test_a_registry_that_goes_away_before_the_switch_changes_nothing(platform, monkeypatch):
    before = read_state("cxr_binary")
    new = platform.new_version()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(ServiceUnavailable, match="MLflow at"):
        platform.release(new)
    assert read_state("cxr_binary") == before
    assert require_whole(platform) == before.stable


def test_a_registry_that_goes_away_after_the_switch_is_told_by_the_next_try(platform, monkeypatch):
    from cxr_tasks.registry.audit import trail
    from cxr_tasks.registry.versions import version_tags
    from serving.check.smoke import smoke_test
    from serving.release import stage as release
    from serving.release.outcome import SERVED_TAG

    def smoke_and_lose_the_registry(settings, model_name, at):
        smoke_test(settings, model_name, at)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    new = platform.new_version()
    with monkeypatch.context() as patch:
        patch.setattr(release, "smoke_test", smoke_and_lose_the_registry)
        with pytest.raises(ServiceUnavailable, match="MLflow at"):
            platform.release(new)
    assert require_whole(platform) == new.version
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    platform.release(new)
    assert version_tags("cxr_binary", new.version)[SERVED_TAG] == "true"
    served = [one for one in trail.entries("cxr_binary") if one.kind == "served" and one.version == new.version]
    assert len(served) == 1
