"""The instruction sets a library is compiled for, best first.

They name features, never a CPU model, so that the run time can check every one of them (``cpu_has`` in
``hawq_cpu.h``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Isa:
    """One instruction set."""

    name: str
    title: str
    mcpu: str
    features: tuple[str, ...]
    products: Literal["dot", "madd"]
    """Four byte products at once into int32, or two int16 products after widening."""
    wide: bool
    """Whether registers hold 64 bytes and number 32, instead of 32 bytes and 16."""
    base: str = ""
    """The set with tiles only: the one whose kernels serve where tiles gain nothing."""

    @property
    def target(self) -> dict[str, Any]:
        """Return TVM's target."""
        return {"kind": "llvm", "mcpu": self.mcpu, "mattr": list(self.features)}


ISAS = (
    Isa(
        "amx",
        "x86-64 with AMX",
        "x86-64-v4",
        ("+avx512vnni", "+amx-tile", "+amx-int8"),
        "dot",
        wide=True,
        base="vnni",
    ),
    Isa("vnni", "x86-64 with AVX-512 and VNNI", "x86-64-v4", ("+avx512vnni",), "dot", wide=True),
    Isa("avxvnni", "x86-64 with AVX2 and VNNI", "x86-64-v3", ("+avxvnni",), "dot", wide=False),
    Isa("avx2", "x86-64 with AVX2", "x86-64-v3", (), "madd", wide=False),
)
"""Best first."""
