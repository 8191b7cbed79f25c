"""What the processor can do, read from the system's files."""

from __future__ import annotations

from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")

#: Processors with bf16 units; without them bf16 is emulated.
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def cpu_flags(cpu_info: Path = CPU_INFO) -> frozenset[str]:
    """Feature flags of the first processor; empty where the system does not list them."""
    try:
        text = cpu_info.read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def has_bf16_units(cpu_info: Path = CPU_INFO) -> bool:
    return bool(cpu_flags(cpu_info) & BF16_FLAGS)
