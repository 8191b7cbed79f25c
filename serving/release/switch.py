"""Change what the running model server serves, step by step, so that every request finds a version to answer it.

1. The new version is listed beside the old one, without a label; the server loads it.
2. When it is AVAILABLE and answers as it should, the label moves to it.
3. When the label answers with it, the old version leaves the list; the server unloads it when its last request ends.

A failure at any step goes back to what served before. All of it happens under ``serving.served.state.locked``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.installation.settings import StackSettings
from serving.client import running
from serving.served import version_folders as on_disk
from serving.served.models_config import CANARY, STABLE, write_models_config
from serving.served.state import ServingState, read_state, write_state

log = logging.getLogger(__name__)

#: The server may still have to start, and TensorFlow's import alone takes long on busy cores.
AVAILABLE_LIMIT_S = 240.0
#: A label takes a look at the file, an unload another one at the folders, each once a second.
LABEL_LIMIT_S = 60.0

#: Asks the server for a version (number) or label (text); raises where the answer is not as it should be.
Smoke = Callable[[int | str], None]


@dataclass(frozen=True, slots=True)
class Switch:
    """Changes of one model on one server; ``smoke`` tries a version before and after it gets its label."""

    settings: StackSettings
    model_name: str
    smoke: Smoke

    def to_stable(self, state: ServingState, version: int, *, previous: int | None, exported: Path | None) -> float:
        """Let ``version`` serve as ``stable`` and ``previous`` stay on disk; seconds it took to load.

        Args:
            state: As ``settle`` gave it: no change is half done.
            exported: A SavedModel to publish as ``version``; None where the version lies on disk.

        Raises:
            ReleaseRefused: The server cannot load it, or ``smoke`` refuses its answers. What served before serves.
            ServiceUnavailable: The server does not answer in time. What served before serves.
        """
        after = replace(
            state,
            stable=version,
            previous=previous,
            canary=None if state.canary == version else state.canary,
            changing=state.stable if state.stable != version else None,
        )
        return self._change(state, after, version, STABLE, exported)

    def to_canary(self, state: ServingState, version: int, *, exported: Path | None) -> float:
        """Let ``version`` serve as ``canary`` beside ``stable``; as ``to_stable`` in all else."""
        former = state.canary if state.canary != version else None
        return self._change(state, replace(state, canary=version, changing=former), version, CANARY, exported)

    def step_aside(self, state: ServingState, version: int, exported: Path | None = None) -> ServingState:
        """Let what is loaded as ``version`` serve on under another number, and the number be free; the new state.

        A canary simply ends. Every request finds an answer all the while, with the same model as before; only the
        version in the answer is the other number until the change is over.

        Args:
            exported: The SavedModel that is loaded, where its files in their place are not those any more.

        Raises:
            ReleaseRefused, ServiceUnavailable: As ``to_stable``; what served before serves, under either number.
        """
        if state.canary == version:
            state = self.without_canary(state)
        if state.stable == version:
            aside = on_disk.free_aside(self.model_name)
            log.warning("%s: what serves as version %d serves on as %d for a moment", self.model_name, version, aside)
            self.to_stable(
                state.with_content(aside, state.content_of(version)),
                aside,
                previous=state.previous,
                exported=exported or on_disk.version_folder(self.model_name, version),
            )
            state = read_state(self.model_name)
        # A server that still has the former content loaded would go on with it under this number.
        running.wait_unloaded(self.settings, self.model_name, version, LABEL_LIMIT_S)
        return state

    def without_canary(self, state: ServingState) -> ServingState:
        """Take label ``canary`` away, then the version that bore it; the new state."""
        self._put(replace(state, canary=None, changing=state.canary))
        running.wait_labelled(self.settings, self.model_name, CANARY, None, LABEL_LIMIT_S)
        return self._finish(replace(state, canary=None), leaving=state.canary)

    def _change(
        self, before: ServingState, after: ServingState, version: int, label: str, exported: Path | None
    ) -> float:
        try:
            seconds = self._bring_in(before, version, exported)
            self._put(after)
            running.wait_labelled(self.settings, self.model_name, label, version, LABEL_LIMIT_S)
            self.smoke(label)
        except BaseException:
            log.exception("%s version %d is taken back; version %s serves", self.model_name, version, before.stable)
            self._undo(before, version, label)
            raise
        self._finish(replace(after, changing=None), leaving=after.changing)
        return seconds

    def _bring_in(self, before: ServingState, version: int, exported: Path | None) -> float:
        """Have ``version`` loaded beside what serves, and tried; seconds until it was AVAILABLE."""
        if version not in before.loaded:
            # Before its folder is there, so that a killed process leaves no folder that nobody knows of.
            write_state(self.model_name, replace(before, changing=version))
        if exported is not None:
            on_disk.publish(exported, self.model_name, version)
        write_models_config()
        seconds = running.wait_available(self.settings, self.model_name, version, AVAILABLE_LIMIT_S)
        self.smoke(version)
        return seconds

    def _undo(self, before: ServingState, version: int, label: str) -> None:
        """Back to ``before``. Each step is tried whatever became of the others: a full disk or a dead server must not
        keep the rest from being put back."""
        owner = before.stable if label == STABLE else before.canary
        if owner is not None and owner != version:
            # The former version is loaded still; the label goes back to it before the failed one goes.
            self._tried(lambda: self._put(replace(before, changing=version)))
            self._tried(lambda: running.wait_labelled(self.settings, self.model_name, label, owner, 10))
        if version not in before.kept:
            self._tried(lambda: on_disk.withdraw(self.model_name, version))
        self._tried(lambda: self._put(before))

    def _tried(self, step: Callable[[], object]) -> None:
        try:
            step()
        except (OSError, CxrError) as error:
            log.warning("%s: a step of going back failed: %s", self.model_name, error)

    def _finish(self, state: ServingState, leaving: int | None) -> ServingState:
        """Let ``leaving`` go; only ``state.kept`` stays on disk. It serves already: a slow server is no failure now."""
        self._put(state)
        if leaving is not None and leaving not in state.loaded:
            self._tried(
                lambda: running.wait_unloaded(self.settings, self.model_name, leaving, LABEL_LIMIT_S)  # type: ignore[arg-type]
            )
        removed = on_disk.prune(self.model_name, state.kept)
        log.info("%s: %s; removed from disk: %s", self.model_name, state, removed or "none")
        return state

    def _put(self, state: ServingState) -> None:
        write_state(self.model_name, state)
        write_models_config()
