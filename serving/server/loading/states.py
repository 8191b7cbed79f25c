"""What became of each version: the states that ``GetModelStatus`` lists, kept for the life of the server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tensorflow_serving.apis import get_model_status_pb2

from serving.server.status import StatusError

_State = get_model_status_pb2.ModelVersionStatus.State
START = _State.Value("START")
LOADING = _State.Value("LOADING")
AVAILABLE = _State.Value("AVAILABLE")
UNLOADING = _State.Value("UNLOADING")
END = _State.Value("END")


Failures = dict[int, StatusError]


@dataclass(frozen=True, slots=True)
class VersionState:
    """One state, the error of a version whose load failed, and whether a failed load is being tried again."""

    state: int
    error: StatusError | None = None
    is_retrying: bool = False


class StateBoard:
    """The last state of every version ever wanted; threads may wait for a change."""

    def __init__(self) -> None:
        self._states: dict[str, dict[int, VersionState]] = {}
        self._n_changes = 0
        self._changed = threading.Condition()

    def put(self, name: str, version: int, state: VersionState) -> None:
        """Sets the state of a version and wakes those who wait."""
        with self._changed:
            self._states.setdefault(name, {})[version] = state
            self._n_changes += 1
            self._changed.notify_all()

    def of_model(self, name: str) -> dict[int, VersionState]:
        """All versions of ``name``, newest first; empty where there never was one."""
        with self._changed:
            return dict(sorted(self._states.get(name, {}).items(), reverse=True))

    def is_available(self, name: str, version: int) -> bool:
        """Whether the version serves."""
        with self._changed:
            state = self._states.get(name, {}).get(version)
            return state is not None and state.state == AVAILABLE

    def wait_until_settled(
        self, names: list[str], wanted_of: Callable[[str], Collection[int]], go_on: Callable[[], bool]
    ) -> dict[str, Failures] | None:
        """Waits until each of ``names`` has an available version and had a try at the others, or all of them ended.

        Args:
            names: Models.
            wanted_of: The versions of a model that are wanted and known here; empty while that is undecided.
            go_on: Asked a few times a second; False ends the wait.

        Returns:
            What failed, by model, of the models without an available version; None where the wait was ended.
        """
        while go_on():
            with self._changed:
                seen = self._n_changes
            outcomes = {name: self._outcome(name, wanted_of(name)) for name in names}
            settled = {name: outcome for name, outcome in outcomes.items() if outcome is not None}
            if len(settled) == len(names):
                return {name: failures for name, failures in settled.items() if failures}
            with self._changed:
                self._changed.wait_for(lambda seen=seen: self._n_changes != seen, 0.1)  # type: ignore[misc]
        return None

    def _outcome(self, name: str, wanted: Collection[int]) -> Failures | None:
        """Failures of ``name``'s wanted versions; empty where one serves, None while that is open."""
        if not wanted:
            return None
        held = {version: state for version, state in self.of_model(name).items() if version in wanted}
        is_tried = all(state.state in {AVAILABLE, END} or state.is_retrying for state in held.values())
        if is_tried and any(state.state == AVAILABLE for state in held.values()):
            return {}
        if all(state.state == END for state in held.values()):
            return {
                version: state.error or StatusError("CANCELLED", "The load was given up")
                for version, state in held.items()
            }
        return None
