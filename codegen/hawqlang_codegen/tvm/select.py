"""Which register tile a convolution uses: pixels by vectors of 16 output channels.

The cost is that of the inner loop per step over four input channels: products are issued two per cycle, loads two per
cycle, and an accumulator can be used again only after the latency of a product.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from hawqlang_codegen.tvm.layout import LANES, round_up

REGISTERS = 32
"""Vector registers of AVX-512."""
CHAIN = 10
"""Products in flight that hide the latency of one: two a cycle, five cycles each."""
EPILOGUE = 8
"""Half cycles to requantize and store one vector."""
ENTRY = 6
"""Half cycles to enter the loops of one tile."""
DEPTHWISE_EXTRA = 3
"""Cost of a depthwise tile's extra input columns, in half pixels."""
NARROW_PIXELS = 6
"""Pixels in 16 registers of 32 bytes: two accumulators each, two weights, an activation, a product."""
WIDENED_PIXELS = 4
"""The same beside weights that are widened from nibbles."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Output pixels computed together; ``vectors`` of 16 output channels each."""

    rows: int
    columns: int
    vectors: int

    @property
    def pixels(self) -> int:
        """Return the pixels of the tile."""
        return self.rows * self.columns

    def walk(self, row: int, column: int) -> str:
        """Return the offset of pixel ``p`` of the tile, as text, where rows and columns are so far apart."""
        if self.rows == 1:
            return f"p * {column}"
        return f"p // {self.columns} * {row} + p % {self.columns} * {column}"


def choose_tile(
    height: int, width: int, channels: int, words: int, *, nibbles: bool = False
) -> Tile:
    """Return the tile with the least estimated time for AVX-512; of equals, the one with the fewest registers.

    Args:
        height: Output rows.
        width: Output columns.
        channels: Output channels.
        words: Steps of four input channels per output, over all taps.
        nibbles: Weights of a step are widened from half of a vector, which takes registers of its own.
    """
    vectors = round_up(channels, LANES) // LANES
    weights = 2 if nibbles else 1
    tiles = (
        Tile(rows, columns, v)
        for v, rows, columns in product(
            range(1, min(vectors, 16) + 1),
            range(1, min(height, 14) + 1),
            range(1, min(width, 14) + 1),
        )
        if rows * columns <= 14 and rows * columns * v + weights * v + 1 <= REGISTERS
    )
    return min(
        tiles,
        key=lambda t: (_cost(t, height, width, vectors, words), t.pixels * t.vectors, t.rows),
    )


def choose_narrow_tile(height: int, width: int, most: int) -> Tile:
    """Return at most ``most`` pixels to compute together with 16 registers, for one vector of 16 channels."""
    tiles = (
        Tile(rows, columns, 1)
        for rows, columns in product(
            range(1, min(height, most) + 1), range(1, min(width, most) + 1)
        )
        if rows * columns <= most
    )
    return min(
        tiles,
        key=lambda t: (-(-height // t.rows) * -(-width // t.columns) * (t.pixels + 1), -t.columns),
    )


def choose_columns(width: int, most: int) -> int:
    """Return how many pixels of a row of ``width`` a depthwise kernel computes together, at most ``most``."""
    return min(
        range(1, min(width, most) + 1),
        key=lambda n: (-(-width // n) * (2 * n + DEPTHWISE_EXTRA), -n),
    )


def _cost(tile: Tile, height: int, width: int, vectors: int, words: int) -> int:
    """Return the estimated half cycles of a layer."""
    work = tile.pixels * tile.vectors
    step = max(work, tile.pixels + tile.vectors, CHAIN)
    count = -(-height // tile.rows) * -(-width // tile.columns) * -(-vectors // tile.vectors)
    return count * (words * step + EPILOGUE * work + ENTRY)
