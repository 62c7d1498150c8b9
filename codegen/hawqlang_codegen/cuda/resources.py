"""Proof that kernels find the room they were planned for: registers, and no local memory.

``select`` plans with ``REGISTERS_EACH`` registers a thread. A kernel that takes more leaves fewer blocks on a
multiprocessor, and the tile was chosen on false premises; one with a stack keeps values in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hawqlang_codegen.cuda.arch import ARCHES
from hawqlang_codegen.cuda.select import REGISTERS, Tile, resident
from hawqlang_codegen.tvm.layout import round_up

ARCH = re.compile(r"arch = (sm_\d+)")
FUNCTION = re.compile(r"Function (\S+?):\s*$")
USAGE = re.compile(r"REG:(\d+)\s+STACK:(\d+)\s+SHARED:(\d+)\s+LOCAL:(\d+)")
TILE = re.compile(r"4TileILi(\d+)ELi(\d+)ELi(\d+)ELi(\d+)E")
"""A tile's numbers in the name of a kernel."""
WIDENED = "LNS_7WeightsE1E"
"""Of a kernel whose weights are widened, likewise."""
UNIT = 8
"""Registers of a thread are given in so many."""
OTHERS = 256, 2
"""Threads of kernels without tensor cores, and blocks of them that a multiprocessor holds at least."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a kernel takes."""

    arch: str
    kernel: str
    registers: int
    """Of a thread."""
    memory: int
    """Bytes of stack and local memory of a thread."""

    @property
    def planned(self) -> tuple[int, int]:
        """Return its threads a block, and how many blocks were planned on a multiprocessor."""
        found = TILE.search(self.kernel)
        if found is None or self.arch not in ARCHES:
            return OTHERS
        rows, columns, warp_rows, stages = map(int, found.groups())
        tile, arch = Tile(rows, columns, warp_rows), ARCHES[self.arch]
        return tile.threads, resident(tile, arch, stages, widened=WIDENED in self.kernel)

    @property
    def problem(self) -> str | None:
        """Return what is wrong, in words."""
        if self.memory:
            return f"{self.arch} {self.kernel}: {self.memory} bytes of local memory a thread"
        threads, blocks = self.planned
        fit = REGISTERS // (threads * round_up(max(self.registers, 1), UNIT))
        if fit >= blocks:
            return None
        return (
            f"{self.arch} {self.kernel}: {self.registers} registers a thread leave room for {fit} blocks"
            f" of {threads} threads, {blocks} were planned"
        )


def usages(listing: str) -> Iterator[Usage]:
    """Yield what every kernel takes, from the words of ``cuobjdump -res-usage``."""
    arch = kernel = "?"
    for line in listing.splitlines():
        if found := ARCH.search(line):
            arch = found[1]
        elif found := FUNCTION.search(line):
            kernel = found[1]
        elif found := USAGE.search(line):
            registers, stack, _, local = map(int, found.groups())
            yield Usage(arch, kernel, registers, stack + local)


def problems(listing: str) -> tuple[str, ...]:
    """Return every kernel that takes more than was planned."""
    return tuple(usage.problem for usage in usages(listing) if usage.problem is not None)
