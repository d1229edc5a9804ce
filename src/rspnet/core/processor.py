"""What the processor can do."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


@cache
def processor_flags() -> frozenset[str]:
    """The words in which Linux says it, such as "avx2" and "avx512_bf16"; none on other systems."""
    if not _CPUINFO.exists():
        return frozenset()
    return frozenset(_CPUINFO.read_text(encoding="utf-8", errors="replace").split())
