"""The state of a training run on disk: one file per run, replaced whole after each epoch, read back after a kill."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxr_tasks.contracts.errors import DataDefect
from cxr_tasks.installation.storage.files import is_of_the_system, replaced_file
from cxr_tasks.installation.storage.locks import file_lock

STATE_FILE = "state.npz"
LOCK_FILE = "lock"


@dataclass(frozen=True, slots=True)
class SavedState:
    """Everything that the next epoch depends on, and what has been reached so far.

    ``current`` holds the variables of network (seeds of dropout among them), loss, optimizer and average; ``best`` the
    weights of the best epoch; ``progress`` plain JSON: phase, history, counters of early stopping, seconds.
    """

    current: list[np.ndarray]
    best: list[np.ndarray]
    progress: dict[str, Any]


def save_state(folder: Path, state: SavedState) -> None:
    """Replace the state in ``folder``; a reader, or a run after a kill, finds the old state or the new one whole."""
    arrays = {f"current_{i}": value for i, value in enumerate(state.current)}
    arrays |= {f"best_{i}": value for i, value in enumerate(state.best)}
    arrays["progress"] = np.frombuffer(json.dumps(state.progress).encode(), np.uint8)
    with replaced_file(folder / STATE_FILE) as aside, open(aside, "wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def load_state(folder: Path) -> SavedState | None:
    """The state in ``folder``; ``None`` where no epoch has been finished. An unreadable file is a ``DataDefect``."""
    path = folder / STATE_FILE
    try:
        with np.load(path, allow_pickle=False) as stored:
            progress = json.loads(stored["progress"].tobytes())
            return SavedState(_numbered(stored, "current"), _numbered(stored, "best"), progress)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        if is_of_the_system(error):
            raise
        raise DataDefect(
            f"{path}: expected a training state, found {error}; remove it to train from the start"
        ) from error


def _numbered(stored: Any, name: str) -> list[np.ndarray]:
    return [stored[f"{name}_{i}"] for i in range(sum(key.startswith(f"{name}_") for key in stored.files))]


@contextmanager
def only_one_trainer(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the lock goes with the process, also when it is killed.

    Raises:
        ServiceUnavailable: Another process trains here: a retry that came while the first one still lives.
    """
    with file_lock(folder / LOCK_FILE, what=str(folder), purpose="training", wait_s=0):
        yield
