"""Is there a GPU, and if TensorFlow finds none, why? Reads the system's files; imports no TensorFlow."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Mapping
from pathlib import Path

#: Of NVIDIA's libraries, which ``make GPU=1`` installs, the one that no training does without.
LIBRARY = "nvidia-cudnn-cu12"
#: What hides all GPUs from CUDA.
_HIDING = ("", "-1", "NoDevFiles")


def gpu_devices(root: Path = Path("/")) -> list[str]:
    """Device files of GPUs, by which a process reaches them: NVIDIA's, those of WSL, AMD's."""
    devices = sorted(root.glob("dev/nvidia[0-9]*"))
    devices += [path for path in (root / "dev/dxg", root / "dev/kfd") if path.exists()]
    return [f"/{path.relative_to(root)}" for path in devices]


def has_libraries() -> bool:
    """Whether NVIDIA's libraries are installed beside TensorFlow."""
    try:
        importlib.metadata.version(LIBRARY)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def why_no_gpu(
    root: Path = Path("/"), environment: Mapping[str, str] = os.environ, libraries: bool | None = None
) -> str:
    """Why TensorFlow finds no GPU here, and what to do, as far as files tell; '' where none of them speaks against one.

    Args:
        libraries: Whether NVIDIA's libraries are installed; None looks.
    """
    hidden = environment.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in _HIDING:
        return f"CUDA_VISIBLE_DEVICES={hidden} hides every GPU; take it out of the environment"
    devices = gpu_devices(root)
    if not devices:
        return "no driver of a GPU is loaded (no /dev/nvidia0)"
    if not (has_libraries() if libraries is None else libraries):
        return f"{devices[0]} is there, NVIDIA's libraries are not installed: make PYTHON=... GPU=1 up installs them"
    return ""
