"""What a reader of the figures must know of the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import psutil

from cxr_tasks.installation.processes import available_cores
from cxr_tasks.installation.processor import CPU_INFO, cpu_flags

FLAGS_OF_INTEREST = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile")
PACKAGES = ("tensorflow", "keras", "numpy", "pillow", "grpcio", "tensorflow-serving-api")


def machine_facts() -> dict[str, Any]:
    """Processor, memory, versions, and how busy the machine is with other work at this moment."""
    flags = cpu_flags()
    return {
        "cores": available_cores(),
        "processor": _processor_name(CPU_INFO),
        "cpu_flags": [one for one in FLAGS_OF_INTEREST if one in flags],
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
    }


def _processor_name(cpu_info: Path) -> str:
    if cpu_info.is_file():
        for line in cpu_info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
