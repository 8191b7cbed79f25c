"""TensorFlow's start, without its native start-up lines in the log."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


def start_tensorflow() -> None:
    """Import TensorFlow quietly; to be called before the first import of a module that needs it.

    Its native libraries write a dozen lines to stderr before any log level applies ("Could not find cuda drivers",
    "oneDNN custom operations are on"). Airflow shows stderr as errors, and a person looking for the reason of a
    failure would read those first. If the import fails, the lines come after all.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _native_stderr_held():
        import tensorflow as tf

        # The search for accelerators is part of the start and as talkative.
        tf.config.list_physical_devices()


@contextlib.contextmanager
def _native_stderr_held() -> Iterator[None]:
    """Keep what is written to file descriptor 2; written out after all when the block raises."""
    sys.stderr.flush()
    descriptor = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(descriptor, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(descriptor, 2)
            os.close(descriptor)
