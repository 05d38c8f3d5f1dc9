"""What the processor of this machine is, as far as rounding depends on it."""

import os
import platform
from pathlib import Path

#: Widest vector instructions first: libraries choose their code, and so the order of their sums, by them.
_VECTORS = ("avx512f", "avx2", "avx", "sve", "asimd")
#: With these, PyTorch and its libraries take other code than that of the processor.
_OVERRIDES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")


def line_of(path: str, key: str) -> str:
    """The value of the first line "key: value" of a file; empty without one."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
    found = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(key)]
    return found[0] if found else ""


def processor() -> str:
    """Name and vector instructions of the processor, such as ``AMD EPYC, avx2``, and what overrides them."""
    name = line_of("/proc/cpuinfo", "model name") or platform.machine()
    flags = (line_of("/proc/cpuinfo", "flags") or line_of("/proc/cpuinfo", "Features")).split()
    vectors = [vector for vector in _VECTORS if vector in flags][:1]
    overrides = [f"{key}={os.environ[key]}" for key in _OVERRIDES if os.environ.get(key)]
    return ", ".join([name, *vectors, *overrides])
