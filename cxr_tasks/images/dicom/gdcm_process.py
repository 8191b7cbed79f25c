"""GDCM in a process of its own: on some broken pictures it ends the process it runs in."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from cxr_tasks.images.dicom.gdcm_worker import ANSWER, ENDS_EARLY
from cxr_tasks.images.dicom.refused import damaged, ends_early

#: No picture of bounded size takes as long; the decoder is stuck.
DECODE_SECONDS = 120.0

#: The decoder of each process that has used one; a forked process finds its parent's here, and starts its own.
_decoders: dict[int, GdcmProcess] = {}


def decode_with_gdcm(codestream: bytes, *, syntax: str, rows: int, columns: int, n_samples: int, bits: int) -> bytes:
    """``gdcm_worker.decode`` in this process's decoder, which is started at first use and again after it broke off.

    Raises:
        DicomRefused: GDCM cannot decode the picture, gives another number of bytes, ended or got stuck.
    """
    request: dict[str, str | int] = {
        "syntax": syntax,
        "rows": rows,
        "columns": columns,
        "n_samples": n_samples,
        "bits": bits,
    }
    samples = _decoders.setdefault(os.getpid(), GdcmProcess()).decode(codestream, request)
    expected = rows * columns * n_samples * (1 if bits <= 8 else 2)
    if len(samples) != expected:
        raise damaged(f"{expected} bytes of pixels expected, {len(samples)} decoded")
    return samples


class GdcmProcess:
    """A running ``gdcm_worker``, one picture at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def decode(self, codestream: bytes, request: dict[str, str | int]) -> bytes:
        """The worker's answer; ``DicomRefused`` where it has none."""
        with self._lock:
            child = self._running()
            stuck = threading.Timer(DECODE_SECONDS, child.kill)
            stuck.start()
            try:
                return _ask(child, codestream, request)
            except (OSError, EOFError):
                self._stop()
                raise damaged("the compressed picture breaks its decoder") from None
            finally:
                stuck.cancel()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            # -P: modules beside the worker must not stand for those of the standard library.
            command = [sys.executable, "-P", str(Path(__file__).with_name("gdcm_worker.py"))]
            self._child = subprocess.Popen(  # noqa: S603 - our own program
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            atexit.register(self._stop)
        return self._child

    def _stop(self) -> None:
        """End the worker, unless it belongs to the process that this one was forked from."""
        atexit.unregister(self._stop)
        child, self._child = self._child, None
        if child is None or _decoders.get(os.getpid()) is not self:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe:
                # What a broken worker did not take is still to be written.
                with contextlib.suppress(OSError):
                    pipe.close()


def _ask(child: subprocess.Popen[bytes], codestream: bytes, request: dict[str, str | int]) -> bytes:
    assert child.stdin and child.stdout  # noqa: S101 - opened as pipes
    child.stdin.write(json.dumps({**request, "n_bytes": len(codestream)}).encode() + b"\n")
    child.stdin.write(codestream)
    child.stdin.flush()
    answer = child.stdout.read(ANSWER.size)
    if len(answer) < ANSWER.size:
        raise EOFError
    n_bytes = ANSWER.unpack(answer)[0]
    if n_bytes == ENDS_EARLY:
        raise ends_early()
    if n_bytes < 0:
        raise damaged("the compressed picture cannot be decoded")
    samples = child.stdout.read(n_bytes)
    if len(samples) < n_bytes:
        raise EOFError
    return samples
