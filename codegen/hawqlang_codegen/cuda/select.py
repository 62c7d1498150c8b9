"""Which tile computes a convolution, and among how many blocks its sums are split.

    time = max(tiles per multiprocessor · work of a tile, waves · latency of a tile) + what a split costs

A model of the machine, not a measurement: it ranks tiles by how well they fill a device.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from hawqlang_codegen.cuda.arch import Arch

STEP_BYTES = 64
"""Bytes of k that come in per step."""
REGISTERS = 65536
"""Of a multiprocessor."""
LATENCY = 600
"""Cycles from asking for a step's bytes to having them, when nothing else hides it."""
ENTRY = 1500
"""Cycles to begin and end a block."""
LAUNCH = 3000
"""Cycles of the second kernel that adds what split sums left."""
L2_BYTES = 48
"""Bytes per cycle that a multiprocessor gets from the second-level cache."""
MOST_PARTS = 16
MOST_MEASURED = 5
"""Choices of one product that are worth a device's time."""
LEAST_STEPS = 4
"""Steps that a part of a split sum has at least."""


@dataclass(frozen=True, slots=True)
class Tile:
    """What a block computes: ``rows`` pixels times ``columns`` channels, each warp ``warp_rows`` times 32."""

    rows: int
    columns: int
    warp_rows: int

    @property
    def threads(self) -> int:
        """Return the threads of a block."""
        return self.rows // self.warp_rows * (self.columns // 32) * 32

    @property
    def registers(self) -> int:
        """Return the registers of a thread, as planned: ``kRegisters`` of conv_igemm.cuh, to which nvcc is held."""
        return {64: 255, 32: 160}.get(self.warp_rows, 128)

    def shared(self, stages: int, *, widened: bool) -> int:
        """Return the bytes of shared memory of a block."""
        stage = self.rows * 64 + self.columns * (32 if widened else 64)
        return max(stages * stage, self.threads // 32 * 16 * 36 * 4)

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}x{self.warp_rows}"


TILES = (
    Tile(128, 128, 64),
    Tile(128, 64, 64),
    Tile(64, 64, 32),
    Tile(64, 32, 16),
    Tile(32, 64, 16),
    Tile(16, 128, 16),
)


@dataclass(frozen=True, slots=True)
class Gemm:
    """A matrix product: ``rows`` x ``columns`` results, ``steps`` of 64 bytes each."""

    rows: int
    columns: int
    steps: int
    nibbles: bool
    widened: bool
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    words: bool = False
    """Whether pixels of one word are copied tap by tap."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A tile, its ring of buffers, and the blocks that share a sum."""

    tile: Tile
    stages: int
    parts: int
    cycles: int
    """As modelled."""

    def __str__(self) -> str:
        return f"{self.tile}, {self.stages} buffers, {self.parts} parts"


def choose(gemm: Gemm, arch: Arch) -> Choice:
    """Return the tile and split with the least modelled time; of equals the larger tile, then the fewer parts."""
    return alternatives(gemm, arch)[0]


def alternatives(gemm: Gemm, arch: Arch) -> tuple[Choice, ...]:
    """Return the choices worth measuring, those with the least modelled time first; one split of each tile."""
    parts = [
        p for p in (1, 2, 3, 4, 6, 8, 12, MOST_PARTS) if p == 1 or gemm.steps // p >= LEAST_STEPS
    ]
    choices = sorted(
        (
            Choice(tile, arch.stages, p, _cycles(gemm, arch, tile, p))
            for tile, p in product(TILES, parts)
        ),
        key=lambda c: c.cycles,
    )
    first = {choice.tile: choice for choice in reversed(choices)}
    halves = [c for c in choices[1:] if c.tile == choices[0].tile][:1]
    others = sorted((*first.values(), *halves), key=lambda c: c.cycles)
    return (choices[0], *(c for c in others if c != choices[0]))[:MOST_MEASURED]


def resident(tile: Tile, arch: Arch, stages: int, *, widened: bool) -> int:
    """Return how many blocks of a tile a multiprocessor holds at once, as planned."""
    limits = (
        arch.shared // tile.shared(stages, widened=widened),
        arch.threads // tile.threads,
        REGISTERS // (tile.threads * tile.registers),
    )
    return max(1, min(limits))


def _cycles(gemm: Gemm, arch: Arch, tile: Tile, parts: int) -> int:
    blocks = -(-gemm.rows // tile.rows) * -(-gemm.columns // tile.columns) * parts
    speed = arch.products * (2 if gemm.nibbles and arch.nibble_products else 1)
    products = tile.rows * tile.columns * STEP_BYTES * (2 if gemm.nibbles else 1)
    fetched = min(tile.rows, gemm.rows) + min(tile.columns, gemm.columns)
    step = max(products // speed, fetched * STEP_BYTES // L2_BYTES)
    steps = -(-gemm.steps // parts)
    busy = -(-blocks // arch.multiprocessors) * steps * step
    held = resident(tile, arch, arch.stages, widened=gemm.widened)
    waves = -(-blocks // (arch.multiprocessors * held))
    waiting = waves * steps * (LATENCY // (arch.stages - 1) + step // 4)
    split = 0
    if parts > 1:
        moved = 2 * parts * gemm.rows * gemm.columns * 4
        split = LAUNCH + moved // (L2_BYTES * arch.multiprocessors)
    return max(busy, waiting) + waves * ENTRY + split
