"""Memory that was freed, back to the system."""

from __future__ import annotations

import ctypes


def give_back_freed() -> None:
    """Has the C library give back what was freed between other things; where it is not glibc, nothing happens.

    glibc keeps it else: after a residual CNN is unloaded 100 MiB, and from release to release a little more.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
