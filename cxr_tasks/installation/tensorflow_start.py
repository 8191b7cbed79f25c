"""TensorFlow's start, without its native start-up lines in the log."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator

from cxr_tasks.installation.accelerators import gpu_devices, why_no_gpu

log = logging.getLogger(__name__)

#: Lines of TensorFlow's start that say why there is no GPU.
_ABOUT_GPUS = re.compile(r"cuda|cuInit|gpu|nvidia|rocm|dlopen", re.IGNORECASE)
#: What stands before the text of such a line: level, time, process, place in the source.
_PREFIX = re.compile(r"^[IWEF]?\d{4}[-\d]* [\d:.]+:?\s+[\d:]*\s*|^(?:[IWEF] )?\S+\.(?:cc|h):\d+\]\s*")
#: A process takes of the GPU's memory what it needs, not all: training and serving live on one GPU.
GROWTH_VARIABLE = "TF_FORCE_GPU_ALLOW_GROWTH"


def start_tensorflow() -> None:
    """Import TensorFlow quietly; to be called before the first import of a module that needs it.

    Its native libraries write a dozen lines to stderr before any log level applies ("Could not find cuda drivers",
    "oneDNN custom operations are on"). Airflow shows stderr as errors, and a person looking for the reason of a
    failure would read those first. If the import fails, the lines come after all. What they say of a GPU that cannot be
    used goes to the log in any case: as a warning where the machine has one.

    Memory of GPUs is taken as it is needed (``TF_FORCE_GPU_ALLOW_GROWTH``; a value that is set already stays).
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault(GROWTH_VARIABLE, "true")
    said: list[str] = []
    with _native_stderr_held(said):
        import tensorflow as tf

        # The search for accelerators is part of the start and as talkative.
        gpus = tf.config.list_physical_devices("GPU")
        if os.environ[GROWTH_VARIABLE].lower() == "true":
            for gpu in gpus:
                tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        tell_no_gpu(said)


def tell_no_gpu(said: list[str]) -> None:
    """Say why there is no GPU, by TensorFlow's own lines and by the system's files; warn where the machine has one."""
    lines = [_text(line) for line in said if _ABOUT_GPUS.search(line)]
    parts = [why_no_gpu(), *dict.fromkeys(lines)]
    level = logging.WARNING if gpu_devices() else logging.INFO
    log.log(
        level, "TensorFlow finds no GPU and works on the CPU: %s", "; ".join(filter(None, parts)) or "no reason told"
    )


def _text(line: str) -> str:
    shorter = _PREFIX.sub("", line.strip())
    return shorter if shorter == line else _text(shorter)


@contextlib.contextmanager
def _native_stderr_held(said: list[str]) -> Iterator[None]:
    """Keep what is written to file descriptor 2, as lines of ``said``; written out after all when the block raises."""
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
            held.seek(0)
            said += held.read().decode("utf-8", "replace").splitlines()
