"""This machine's CPU, as far as what is measured on it depends on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hawqlang_codegen.tvm.isa import ISAS, Isa

CPU = Path("/proc/cpuinfo")
VECTORS: Mapping[str, str] = {
    "amx": "amx_int8",
    "vnni": "avx512_vnni",
    "avxvnni": "avx_vnni",
    "avx2": "avx2",
}
"""What Linux calls the instructions that an instruction set's kernels are about."""


def cpu_model() -> str:
    """Return the name and numbers of this machine's CPU."""
    found = _cpu()
    numbers = (found.get(key, "0") for key in ("cpu family", "model", "stepping"))
    return f"{found.get('model name', 'unknown')} {' '.join(numbers)}"


def cpu_identity() -> str:
    """Return the CPU's model, what of its vector instructions this system lets it use, and what the user forbids.

    A virtual machine may hide some, and ``HAWQ_ISA`` names the set that libraries use.
    """
    words = [cpu_model(), *(VECTORS[isa.name] for isa in _present())]
    forced = os.environ.get("HAWQ_ISA")
    return " ".join([*words, f"as {forced}"] if forced else words)


def likely_sets() -> tuple[Isa, ...]:
    """Return the best instruction set that the system shows, with the one whose kernels it uses; else all.

    What a library runs is decided when it is loaded; this only spares compiling the others.
    """
    found = _present()
    if not found or os.environ.get("HAWQ_ISA"):
        return ISAS
    best = found[0]
    return tuple(isa for isa in ISAS if isa.name in (best.name, best.base))


def _present() -> list[Isa]:
    flags = set(_cpu().get("flags", "").split())
    return [isa for isa in ISAS if VECTORS[isa.name] in flags]


def _cpu() -> dict[str, str]:
    """Return what the system says of its first CPU."""
    try:
        lines = CPU.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}
