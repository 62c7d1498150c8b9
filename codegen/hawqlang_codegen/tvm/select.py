"""Which form a kernel takes: register tile, order of loops, distance of prefetches.

A choice is made per shape of work, never per layer. Without measurements a model of the inner loop decides
(``modelled``): half cycles per step over four input channels, where products and loads are issued two per cycle and an
accumulator can be used again only after the latency of a product; to which come the requantization of what was summed,
the entry of the loops, and pixels at edges that are computed twice. With measurements (``tuning``) the best of a few
alternatives decides. Alternatives differ from the modelled choice along one axis each; another variant of a kernel is
a field of ``Choice`` and a line of ``AXES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

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
"""The same beside weights that are widened from nibbles: a table, or sums in int16 beside those in int32."""
AHEAD = (8 * 1024, 3 * 1024, 16 * 1024)
"""Bytes by which weights that do not stay in cache are fetched ahead of their use; the first unless measured."""
TILES = 4
"""Tiles that are worth measuring; the model is seldom further off."""


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

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}x{self.vectors * LANES}"


@dataclass(frozen=True, slots=True)
class Work:
    """A layer that mixes channels, as far as a choice depends on it."""

    height: int
    """Output rows."""
    width: int
    """Output columns."""
    channels: int
    """Output channels."""
    kernel: tuple[int, int]
    stride: tuple[int, int]
    words: int
    """Steps of four input channels (two of 16 bits) per output, over all taps."""
    nibbles: bool
    """Weights of a step are widened from half of a vector, which takes registers of its own."""
    halves: bool
    """Products are of 16 bits."""
    grouped: bool
    stores: int
    """Tensors made of every sum."""
    summed: bool
    """Whether a stored operand is added."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The form of a kernel."""

    tile: Tile
    """With 32 registers of 64 bytes; the weights are packed in its blocks."""
    narrow_tile: Tile
    """With 16 registers of 32 bytes and byte products."""
    madd_tile: Tile
    """With 16 registers of 32 bytes and int16 products."""
    exchanged: bool = False
    """Whether blocks of channels are the outer loop where pixels would be, and the other way round."""
    ahead: int = AHEAD[0]
    """Bytes by which weights are fetched before their use."""

    def __str__(self) -> str:
        order = ", loops exchanged" if self.exchanged else ""
        ahead = f", {self.ahead} bytes ahead" if self.ahead != AHEAD[0] else ""
        return f"{self.tile} {self.narrow_tile} {self.madd_tile}{order}{ahead}"


@dataclass(frozen=True, slots=True)
class Axis:
    """One way in which choices differ: a field of ``Choice`` and its values, likeliest first."""

    field: str
    values: Callable[[Work], Iterable[Any]]


def modelled(work: Work) -> Choice:
    """Return the choice with the least estimated time on every instruction set."""
    return Choice(
        tile=wide_tiles(work)[0],
        narrow_tile=narrow_tiles(work)[0],
        madd_tile=madd_tiles(work)[0],
    )


def alternatives(work: Work, isa: str) -> tuple[Choice, ...]:
    """Return the choices worth measuring on an instruction set: the modelled one, then others by one axis each."""
    first = modelled(work)
    found = [first]
    for axis in AXES[isa]:
        others = (replace(first, **{axis.field: value}) for value in axis.values(work))
        found += [choice for choice in others if choice not in found]
    return tuple(found)


def wide_tiles(work: Work) -> list[Tile]:
    """Return the tiles with the least estimated time for AVX-512; of equals, the one with the fewest registers."""
    vectors = round_up(work.channels, LANES) // LANES
    most = 1 if work.grouped else min(vectors, 16)
    weights, others = (2, 3) if work.nibbles else (1, 1)
    tiles = (
        Tile(rows, columns, v)
        for v, rows, columns in product(
            range(1, most + 1),
            range(1, min(work.height, 14) + 1),
            range(1, min(work.width, 14) + 1),
        )
        if rows * columns <= 14 and rows * columns * v + weights * v + others <= REGISTERS
    )
    return sorted(tiles, key=lambda t: (_cost(t, work, vectors), t.pixels * t.vectors, t.rows))[
        :TILES
    ]


def narrow_tiles(work: Work) -> list[Tile]:
    """Return the tiles for 16 registers and byte products, best first."""
    return _few_pixels(work, WIDENED_PIXELS if work.nibbles else NARROW_PIXELS)


def madd_tiles(work: Work) -> list[Tile]:
    """Return the tiles for 16 registers and int16 products, best first."""
    return _few_pixels(work, WIDENED_PIXELS if work.nibbles else NARROW_PIXELS)


def choose_columns(width: int, most: int) -> int:
    """Return how many pixels of a row of ``width`` a depthwise kernel computes together, at most ``most``."""
    return min(
        range(1, min(width, most) + 1),
        key=lambda n: (-(-width // n) * (2 * n + DEPTHWISE_EXTRA), -n),
    )


def _few_pixels(work: Work, most: int) -> list[Tile]:
    """Return tiles of at most ``most`` pixels and one vector of 16 channels, best first."""
    tiles = (
        Tile(rows, columns, 1)
        for rows, columns in product(
            range(1, min(work.height, most) + 1), range(1, min(work.width, most) + 1)
        )
        if rows * columns <= most
    )
    return sorted(
        tiles,
        key=lambda t: (
            -(-work.height // t.rows) * -(-work.width // t.columns) * (t.pixels + 1),
            -t.columns,
            t.rows,
        ),
    )[:TILES]


def _cost(tile: Tile, work: Work, vectors: int) -> int:
    """Return the estimated half cycles of a layer."""
    sums = tile.pixels * tile.vectors
    step = max(sums, tile.pixels + tile.vectors, CHAIN)
    count = -(-work.height // tile.rows) * -(-work.width // tile.columns)
    return count * -(-vectors // tile.vectors) * (work.words * step + EPILOGUE * sums + ENTRY)


def _orders(work: Work) -> tuple[bool, ...]:
    return (False, True) if work.height * work.width > 1 else (False,)


def _distances(work: Work) -> tuple[int, ...]:
    return AHEAD if work.channels * work.words * 4 > AHEAD[-1] else AHEAD[:1]


AXES: Mapping[str, tuple[Axis, ...]] = {
    "amx": (Axis("exchanged", _orders), Axis("ahead", _distances)),
    "vnni": (Axis("tile", wide_tiles), Axis("exchanged", _orders), Axis("ahead", _distances)),
    "avxvnni": (Axis("narrow_tile", narrow_tiles), Axis("exchanged", _orders)),
    "avx2": (Axis("madd_tile", madd_tiles), Axis("exchanged", _orders)),
}
"""What may be measured on each instruction set. Choices of the others stay as modelled."""
