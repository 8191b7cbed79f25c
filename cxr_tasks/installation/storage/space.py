"""Full disks: which folder, what is free there, and what a step needs, instead of 'No space left on device'."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import disk_usage

from cxr_tasks.contracts.errors import ConfigurationError, DataDefect, DiskFull
from cxr_tasks.installation.storage.paths import home

MIB = 2**20
#: A library that met a full disk may say anything; with less than this left it is taken for the reason.
_NOTHING_LEFT = 64 * 1024
_ERRNOS = {errno.ENOSPC, errno.EDQUOT}
_WORDS = ("no space left on device", "disk is full", "disk full", "disk quota exceeded")


def require_space(folder: Path, n_bytes: int, purpose: str) -> None:
    """``DiskFull`` unless ``n_bytes`` are free where ``folder`` is or will be; ``purpose`` says what they are for."""
    place = _present(folder)
    free = disk_usage(place).free
    if free < n_bytes:
        raise DiskFull(f"{folder}: {shown(free)} free there, {purpose} needs about {shown(n_bytes)}; make room first")


@contextlib.contextmanager
def room_for(purpose: str, n_bytes: int = 0, folder: Path | None = None) -> Iterator[None]:
    """Run the block (or, as a decorator, the function) with full disks told by folder.

    Args:
        purpose: What is done, in words such as 'validating'.
        n_bytes: What it needs at least; checked before it begins.
        folder: Where it writes; the run-time folder where None.

    Raises:
        DiskFull: Too little is free to begin, or a write found the disk full.
    """
    target = folder or home()
    if n_bytes:
        require_space(target, n_bytes, purpose)
    try:
        yield
    except (DiskFull, DataDefect, ConfigurationError):
        raise
    except Exception as error:
        full = full_folder(error, (target, home() / "runs", home() / "mlflow", Path(tempfile.gettempdir())))
        if full is None:
            raise
        free = disk_usage(_present(full)).free
        need = f"at least {shown(n_bytes)}" if n_bytes > free else "more than that"
        raise DiskFull(
            f"{full}: the disk is full: {shown(free)} free there, {purpose} needs {need}. Make room and start it "
            f"again; what was half-written is written anew ({type(error).__name__}: {str(error)[:200]})"
        ) from error


def full_folder(error: BaseException, folders: tuple[Path, ...]) -> Path | None:
    """The folder on a full disk that ``error``, or what caused it, speaks of; None where it is about something else.

    ``folders`` are those that may have been written to; the fullest of them, where the error names none itself.
    """
    fullest = min(folders, key=lambda folder: disk_usage(_present(folder)).free)
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) in _ERRNOS or any(word in str(cause).lower() for word in _WORDS):
            named = getattr(cause, "filename", None)
            return Path(named).parent if isinstance(named, str) and Path(named).is_absolute() else fullest
        cause = cause.__cause__ or cause.__context__
    return fullest if disk_usage(_present(fullest)).free < _NOTHING_LEFT else None


def shown(n_bytes: float) -> str:
    """A number of bytes for a person.

    >>> shown(3 * 2**20)
    '3.0 MiB'
    """
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / MIB:.1f} MiB"


def _present(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_dir())
