"""What a killed release, rollback or canary left, put in order: the last whole state is what serves."""

from __future__ import annotations

import logging
from dataclasses import replace

from cxr_tasks.contracts.errors import ServiceUnavailable
from cxr_tasks.contracts.families import MODELS
from serving.served import version_folders as on_disk
from serving.served.contents import with_contents
from serving.served.models_config import write_models_config
from serving.served.state import ServingState, locked, read_state, write_state

log = logging.getLogger(__name__)


def settle(model_name: str) -> ServingState:
    """The state, once no change is half done any more; to be called under ``locked``, when no change goes on.

    A version on its way in is dropped: it has not answered for itself yet. One on its way out is not loaded any more.
    """
    kept = read_state(model_name)
    state = with_contents(model_name, replace(kept, changing=None))
    if kept.changing is not None:
        log.warning("%s: a change of what serves was killed; version %s serves", model_name, state.stable)
    if state != kept and state.kept:
        write_state(model_name, state)
    write_models_config()
    on_disk.prune(model_name, state.kept)
    return state


def settle_all() -> None:
    """``settle`` for every model that nobody is changing at this moment."""
    # A moment's patience: the watcher of champions only looks whether the lock is free.
    for model_name in MODELS:
        try:
            with locked(model_name, "putting left-overs in order", wait_s=1):
                settle(model_name)
        except ServiceUnavailable as error:
            log.info("%s", error)
