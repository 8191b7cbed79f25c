"""Clients that ask all the time while versions come and go: not one request fails."""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from collections import Counter

import pytest

from cxr_tasks.installation.storage.files import tree_sha256
from serving.client import CxrClient
from serving.export.golden import golden_images
from serving.served.state import read_state
from tests.waiting import wait_until

pytestmark = [pytest.mark.tf, pytest.mark.serving, pytest.mark.mlflow]

LEAST_REQUESTS = 1000
#: What both ports answer where nothing is loaded.
UNLOADED = ("Servable not found", "Unrecognized servable version label", "not found for request")


class Clients:
    """Threads that ask over both ports, with label ``stable`` and without; each notes what it was answered.

    Args:
        pause_s: Between one request and the next; none: as fast as answers come.
    """

    def __init__(self, settings, pause_s: float = 0.0):
        self.settings, self.pause_s = settings, pause_s
        self.image = golden_images()["square_grey.jpeg"]
        self.answers: Counter[str] = Counter()
        self.stable_versions: list[int] = []
        self.probabilities: set[float] = set()
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=ask, args=(at,)) for ask in (self._rest, self._grpc) for at in ("stable", None)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def n_requests(self) -> int:
        return self.answers.total() + len(self.errors)

    def _rest(self, at):
        self._ask("rest", self.settings.rest_url, at)

    def _grpc(self, at):
        self._ask("grpc", self.settings.grpc_address, at)

    def _ask(self, way, address, at):
        # Without patience: a connection that breaks is an error.
        with CxrClient(address, patience_s=0) as client:
            while not self._stop.wait(self.pause_s):
                try:
                    answer = client.predict("cxr_binary", self.image, at=at)
                    assert answer.labels == ("pneumonia",)
                    self.probabilities.add(round(answer.probabilities[0], 4))
                    self.answers[f"{way} {at}"] += 1
                    if (way, at) == ("grpc", "stable"):
                        self.stable_versions.append(answer.version)
                except Exception as error:
                    self.errors.append(f"{way} {at}: {error}")


def test_no_request_fails_through_three_releases_and_a_rollback(platform, record_property):
    from serving.release.rollback import roll_back

    first = read_state("cxr_binary").stable
    with Clients(platform.settings) as clients:
        released = []
        for _ in range(3):
            registered = platform.new_version()
            platform.release(registered)
            released.append(registered.version)
        roll_back("cxr_binary", platform.settings, who="test", why="the third is bad")
        wait_until(lambda: clients.n_requests >= LEAST_REQUESTS, f"{LEAST_REQUESTS} requests")
    record_property("requests", clients.n_requests)
    print(f"{clients.n_requests} requests, {len(clients.errors)} errors: {dict(clients.answers)}")
    assert clients.errors == []
    assert clients.n_requests >= LEAST_REQUESTS
    assert set(clients.answers) == {"rest stable", "rest None", "grpc stable", "grpc None"}
    # What clients of the label saw: each champion in its turn, and none after the next.
    turns = [version for version, _ in itertools.groupby(clients.stable_versions)]
    assert turns == [first, *released, released[1]]


def test_no_request_fails_while_releases_bring_back_the_files_of_what_serves(platform, record_property):
    """Changed, then missing, then gone as a whole: what was brought back is damaged again.

    A folder that is gone the server unloads by itself, as ``tensorflow_model_server`` does: nothing answers until the
    release, and everything from then on.
    """
    from serving.served.version_folders import is_aside, version_folder

    registered = platform.new_version()
    platform.release(registered)
    folder = version_folder("cxr_binary", registered.version)
    published = tree_sha256(folder)
    with Clients(platform.settings, pause_s=0.1) as clients:
        for damage in ("changed", "missing", "gone"):
            wait_for(clients, clients.answers.total() + 40)
            do_damage(folder, damage)
            # The server looks into the folders once a second.
            time.sleep(3)
            platform.release(registered)
            assert tree_sha256(folder) == published
            if damage == "gone":
                time.sleep(0.5)
                assert {one for one in clients.errors if not any(word in one for word in UNLOADED)} == set()
                clients.errors.clear()
            assert clients.errors == [], damage
        wait_for(clients, clients.answers.total() + 40)
    record_property("requests", clients.n_requests)
    assert clients.errors == []
    assert set(clients.answers) == {"rest stable", "rest None", "grpc stable", "grpc None"}
    # The same model all the while, also under the number that it serves on under for the time of the change.
    assert len(clients.probabilities) == 1
    turns = [version for version in clients.stable_versions if not is_aside(version)]
    assert set(turns) == {registered.version}
    assert (platform.at("stable"), platform.served()) == (registered.version, [registered.version])


def do_damage(folder, damage: str) -> None:
    if damage == "changed":
        with open(folder / "saved_model.pb", "ab") as stream:
            stream.write(b"\0")
    elif damage == "missing":
        (folder / "variables" / "variables.index").unlink()
    else:
        shutil.rmtree(folder)


def wait_for(clients: Clients, n_answers: int) -> None:
    wait_until(lambda: clients.answers.total() >= n_answers, f"{n_answers} answers", tell=lambda: clients.errors)
