"""What a version held goes back to the system when it is unloaded."""

from __future__ import annotations

import ctypes
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.serving, pytest.mark.tf]

MIB = 1 << 20
CHUNK, N_CHUNKS = 10_000, 20_000


def resident() -> int:
    return psutil.Process().memory_info().rss


def test_unloading_gives_freed_memory_back(base: Path):
    from serving.server.loading.models import LoadedModel, LoadOptions

    library = ctypes.CDLL(None)
    if not hasattr(library, "malloc_trim"):
        pytest.skip("the C library is not glibc, which alone keeps freed memory this way")
    library.malloc.restype = library.memset.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    model = LoadedModel(base / "models" / "toy" / "1", LoadOptions())
    chunks = [library.malloc(CHUNK) for _ in range(N_CHUNKS)]
    for one in chunks:
        library.memset(one, 1, CHUNK)
    # The last one stays, so that what lies before it is not given back by itself.
    for one in chunks[:-1]:
        library.free(one)
    before = resident()
    model.close()
    assert before - resident() > 100 * MIB
    library.free(chunks[-1])
