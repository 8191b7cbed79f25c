"""The server's life: flags, log lines, start, signals, end."""

from __future__ import annotations

import gc
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cxr_tasks.contracts.errors import ConfigurationError
from cxr_tasks.installation.tensorflow_start import start_tensorflow
from serving.server.flags import ServerOptions, parse_flags, usage
from serving.server.open_files import raise_limit

if TYPE_CHECKING:
    from serving.server.server import ModelServer

log = logging.getLogger(__name__)

EXIT_REFUSED = 255
NOT_STARTED = -1


class _Line(logging.Formatter):
    """``2026-11-23 14:00:00.123 I manager.py] text``."""

    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        record.letter = record.levelname[:1]
        return super().format(record)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; gives the exit code where it never came to serve."""
    try:
        line = parse_flags(sys.argv[1:] if arguments is None else arguments)
    except ConfigurationError as error:
        print(f"{error}\n{usage()}", file=sys.stderr)
        return EXIT_REFUSED
    if line.options.help:
        print(usage())
        return 0
    _log_to_stderr()
    for word in line.unknown:
        log.warning("Unknown argument is ignored: %s (--help lists the flags)", word)
    # TensorFlow's own lines of level INFO say nothing of a request or a version.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if line.options.version:
        return _print_versions()
    return _serve(line.options)


def _print_versions() -> int:
    import tensorflow as tf

    print(f"TensorFlow ModelServer: embedded\nTensorFlow Library: {tf.__version__}")
    return 0


def _serve(options: ServerOptions) -> int:
    """Serves; a signal ends the process as that signal, so that whoever started it sees what happened."""
    signalled: queue.SimpleQueue[int] = queue.SimpleQueue()
    # Importing TensorFlow takes seconds; until it is done a signal simply ends the process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    start_tensorflow()
    from serving.server.server import ModelServer

    # Nothing imported is ever garbage. Frozen, it is not looked through each time a version is unloaded: a third of a
    # second in which no request would be answered.
    gc.freeze()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: signalled.put(received))
    raise_limit(options.max_connections)
    server = ModelServer(options)
    threading.Thread(target=_start, args=(server, signalled), name="start", daemon=True).start()
    received = signalled.get()
    if received == NOT_STARTED:
        return EXIT_REFUSED
    log.info("Received signal %d, stopping", received)
    server.stop()
    logging.shutdown()
    signal.signal(received, signal.SIG_DFL)
    os.kill(os.getpid(), received)
    return 128 + received


def _start(server: ModelServer, signalled: queue.SimpleQueue[int]) -> None:
    """Starts ``server``; puts ``NOT_STARTED`` where it refuses. In a thread, so that a signal ends the waiting."""
    from serving.server.status import StatusError

    try:
        server.start()
    except StatusError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr, flush=True)
        signalled.put(NOT_STARTED)
    except BaseException:
        log.exception("The server broke while it started")
        signalled.put(NOT_STARTED)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line("%(asctime)s %(letter)s %(filename)s] %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for chatty in ("tensorflow", "absl", "h5py"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
