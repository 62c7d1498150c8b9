"""The GPU architectures that code is generated for, and the numbers by which tiles are chosen.

Products per cycle are those of the data sheets (int8, dense, divided by two operations, multiprocessors and clock).
"""

from __future__ import annotations

from dataclasses import dataclass

from hawqlang.diagnostics import Diagnostic, HawqError


@dataclass(frozen=True, slots=True)
class Arch:
    """One architecture; its numbers are those of its common data-centre device."""

    name: str
    number: int
    """``sm_80`` is 80."""
    multiprocessors: int
    products: int
    """Products of bytes that a multiprocessor does in a cycle."""
    shared: int
    """Bytes of shared memory per multiprocessor."""
    threads: int
    """Resident threads per multiprocessor."""
    stages: int
    """Buffers in flight: without asynchronous copies two are as good as more."""
    nibble_products: bool
    """Whether tensor cores multiply 4-bit operands, twice as many of them."""

    @property
    def kind(self) -> tuple[bool, bool]:
        """Return what decides how a kernel goes about its work: asynchronous copies, products of nibbles."""
        return self.number >= 80, self.nibble_products


ARCHES = {
    arch.name: arch
    for arch in (
        Arch("sm_75", 75, 40, 1024, 64 << 10, 1024, 2, nibble_products=True),
        Arch("sm_80", 80, 108, 2048, 164 << 10, 2048, 3, nibble_products=True),
        Arch("sm_86", 86, 72, 1024, 100 << 10, 1536, 3, nibble_products=True),
        Arch("sm_87", 87, 16, 2048, 164 << 10, 1536, 3, nibble_products=True),
        Arch("sm_89", 89, 58, 1024, 100 << 10, 1536, 3, nibble_products=True),
        Arch("sm_90", 90, 132, 4096, 228 << 10, 2048, 3, nibble_products=False),
    )
}
"""By name, oldest first."""


def chosen(names: tuple[str, ...]) -> tuple[Arch, ...]:
    """Return the architectures called ``names``, oldest first; all of them where none is named.

    Raises:
        HawqError: one is unknown (HQ704).
    """
    unknown = [name for name in names if name.removesuffix("a") not in ARCHES]
    if unknown:
        raise HawqError(
            Diagnostic(
                code="HQ704",
                severity="error",
                message=f"no kernels are generated for {', '.join(unknown)}",
                notes=(f"known architectures: {', '.join(ARCHES)}",),
                help="name the newest of these that your device can run: newer devices run PTX of older ones",
            )
        )
    wanted = {name.removesuffix("a") for name in names} or set(ARCHES)
    return tuple(arch for arch in ARCHES.values() if arch.name in wanted)
