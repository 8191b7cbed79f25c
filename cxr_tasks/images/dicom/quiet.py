"""Reading files of patients without a word of them in a log, a warning or an error."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

from cxr_tasks.contracts.errors import CxrError
from cxr_tasks.images.dicom.refused import damaged

_LOGGERS = ("pydicom", "pylibjpeg", "openjpeg", "PIL")

_lock = threading.Lock()
_silence = contextlib.ExitStack()
_n_inside = 0


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What reading a file raises becomes ``DicomRefused``, and no library says anything of what it reads.

    pydicom's warnings and errors quote values of the header; a decoder raises whatever its parsing runs into. One file
    must neither end a run nor put a patient's name into its log, so only the kind of error is told. Our own errors
    pass. Loggers, warnings and pydicom's settings belong to the whole process: with several threads inside, they are
    as before once the last one has left.
    """
    _enter()
    try:
        yield
    except CxrError:
        raise
    except Exception as error:
        # The text of ``error``, and its traceback, may quote the file.
        raise damaged(f"it cannot be read as DICOM says ({type(error).__name__})") from None
    finally:
        _leave()


def _enter() -> None:
    global _n_inside  # noqa: PLW0603 - how many threads share the silence
    with _lock:
        if _n_inside == 0:
            _silence.enter_context(_silenced())
        _n_inside += 1


def _leave() -> None:
    global _n_inside  # noqa: PLW0603
    with _lock:
        _n_inside -= 1
        if _n_inside == 0:
            _silence.close()


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    import pydicom.config

    settings = pydicom.config.settings
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels, mode = [logger.level for logger in loggers], settings.reading_validation_mode
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        settings.reading_validation_mode = mode
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
