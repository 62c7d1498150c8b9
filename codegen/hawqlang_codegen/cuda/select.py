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
REGISTERS_EACH = 128
"""Of a thread, as planned; the gate of ``resources`` holds kernels to it."""
LATENCY = 600
"""Cycles from asking for a step's bytes to having them, when nothing else hides it."""
ENTRY = 1500
"""Cycles to begin and end a block."""
LAUNCH = 3000
"""Cycles of the second kernel that adds what split sums left."""
L2_BYTES = 48
"""Bytes per cycle that a multiprocessor gets from the second-level cache."""
MOST_PARTS = 16
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

    def shared(self, stages: int, *, widened: bool) -> int:
        """Return the bytes of shared memory of a block."""
        stage = self.rows * 64 + self.columns * (32 if widened else 64)
        return max(stages * stage, self.threads // 32 * 16 * 36 * 4)


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


@dataclass(frozen=True, slots=True)
class Choice:
    """A tile, its ring of buffers, and the blocks that share a sum."""

    tile: Tile
    stages: int
    parts: int
    cycles: int
    """As modelled."""


def choose(gemm: Gemm, arch: Arch) -> Choice:
    """Return the tile and split with the least modelled time; of equals the larger tile, then the fewer parts."""
    parts = [
        p for p in (1, 2, 3, 4, 6, 8, 12, MOST_PARTS) if p == 1 or gemm.steps // p >= LEAST_STEPS
    ]
    choices = (
        Choice(tile, arch.stages, p, _cycles(gemm, arch, tile, p))
        for tile, p in product(TILES, parts)
    )
    return min(choices, key=lambda c: c.cycles)


def resident(tile: Tile, arch: Arch, stages: int, *, widened: bool) -> int:
    """Return how many blocks of a tile a multiprocessor holds at once, as planned."""
    limits = (
        arch.shared // tile.shared(stages, widened=widened),
        arch.threads // tile.threads,
        REGISTERS // (tile.threads * REGISTERS_EACH),
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
