"""What the templates print: one frozen value per distinct kernel, with every number ready.

Two layers with equal contexts share one kernel, so nothing here names a layer or holds its constants: those come in
through pointers. Offsets and strides are in elements of the buffer they index.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from hawqlang_codegen.tvm.layout import ALIGNMENT, LANES, SLACK, WORD, Layout, round_up
from hawqlang_codegen.tvm.select import Tile

LEAST_ROWS = 8
"""Fewer rows of tiles than this divide too unevenly."""
RESIDENT = 32 * 1024
"""Weights up to this many bytes stay in the first-level cache while the pixels stream past."""
SHARED_WEIGHTS = 300 * 1024
"""Bytes of weights that every thread of a kernel may read whole: the second-level cache keeps them, and feeds tiles."""
TILE_ROWS = 16
TILE_BYTES = 64
"""Of one row of a tile."""
LEAST_DEPTH = 4
"""Tiles of fewer words gain nothing over vectors."""
LEAST_COLUMNS = 4
"""Nor do tiles of fewer pixels."""
NEAR = 256 * 1024
"""Bytes of transformed pixels, and of weights, that lie near a core."""
LEAST_PIXELS = 8
"""Fewer pixels than this do not pay for widening the weights."""
LEAST_WINDOWS = 4
"""Fewer windows than this do not pay for the transformation of the weights."""
STRIP = 32
"""Pixels whose sums wait together to be stored."""
AddendKind = Literal["none", "stored", "int32", "scaled", "scaled64"]
"""A second addend: of at most 8 bits; a partial sum at the result's scale; a wider one, scaled by 32-bit operations on
the high half of the product, or by 64-bit ones."""


@dataclass(frozen=True, slots=True)
class Plane:
    """How a kernel walks a tensor: element (y, x, c) stands at ``origin + y·row + x·pixel + c``."""

    dtype: str
    elements: int
    """Of the buffer, slack included."""
    origin: int
    row: int
    pixel: int


def plane(layout: Layout) -> Plane:
    """Return how a kernel walks a tensor of this layout."""
    return Plane(
        dtype=layout.dtype,
        elements=layout.elements + SLACK // layout.element,
        origin=layout.origin,
        row=layout.row,
        pixel=layout.pixel,
    )


@dataclass(frozen=True, slots=True)
class StoreForm:
    """How one int32 value becomes a stored tensor.

    Narrow: 32-bit operations on the high half of the product, for shifts of at least 33. Wide: 64-bit, any shift.
    """

    wide: bool
    folded: bool
    """Narrow only: the zero point stands in the rounding constant."""
    out: Plane
    addend_kind: AddendKind
    addend: Plane | None
    channels: int
    """Length of each parameter vector: output channels padded to the kernel's blocks."""
    in_place: bool = False
    """Whether it overwrites the addend; then it is the kernel's last, and no element is stored twice."""

    @property
    def size(self) -> int:
        """Return the int32 words of the parameter block."""
        return (2 if self.wide else 3) * self.channels + 16


@dataclass(frozen=True, slots=True)
class Tiles:
    """A convolution on AMX's tile registers, and its working memory: shapes, sums, widened weights."""

    tile: Tile
    depth: int
    """Words of four channels of one tile."""
    steps: int
    """Steps of so many words a block takes."""
    pixels_outside: bool
    """Whether the loop over pixels is the outer one: every block of weights stays in cache."""
    ahead: int
    """How many bytes ahead weights are fetched at their first use; 0 where they stay in cache."""
    widened: int
    """Bytes of a block's weights of 4 bits once they are widened."""

    sums_at: ClassVar[int] = 64
    weights_at: ClassVar[int] = sums_at + 4 * TILE_ROWS * TILE_BYTES

    @property
    def beside(self) -> int:
        """Return how many columns of a finished block become tensors during a step of the next one's products."""
        return -(-self.tile.columns // self.steps)

    @property
    def shapes(self) -> tuple[int, ...]:
        """Return the 16 words that configure the registers: palette, bytes per row, rows."""
        pixels, vectors, words = self.tile.columns, self.tile.vectors, self.depth
        sums = [(pixels, TILE_BYTES)] * (self.tile.rows * vectors)
        inputs = [(pixels, words * 4)] * self.tile.rows
        weights = [(words, TILE_BYTES)] * vectors
        registers = sums + inputs + weights
        head = bytes((1, *[0] * 15))
        widths = b"".join(width.to_bytes(2, "little") for _, width in registers).ljust(32, b"\0")
        heights = bytes(height for height, _ in registers).ljust(16, b"\0")
        return struct.unpack("<16i", head + widths + heights)

    @property
    def scratch(self) -> int:
        """Return the bytes of working memory."""
        return self.weights_at + self.widened


@dataclass(frozen=True, slots=True)
class Winograd:
    """A 3x3 convolution as products of transformed windows of 4x4 pixels, and its working memory."""

    rows: int
    """Of windows, two pixels apart."""
    columns: int
    depth: int
    """Words of four channels."""
    strip: int
    """Rows of windows that are transformed together."""
    vectors: int
    """Vectors of 16 output channels whose transformed weights lie in memory together."""

    tile: ClassVar[Tile] = Tile(2, 2, 1)
    """Pixels of a window's result."""

    @property
    def strips(self) -> int:
        """Return how many strips there are; the last overlaps the one before it."""
        return -(-self.rows // self.strip)

    @property
    def channels(self) -> int:
        """Return the input channels, in whole vectors."""
        return round_up(self.depth * WORD, LANES)

    @property
    def group(self) -> int:
        """Return how many windows are multiplied together: at most six, which 16 registers hold."""
        count = self.strip * self.columns
        return min(range(1, min(6, count) + 1), key=lambda n: -(-count // n) * (n + 1))

    @property
    def weights_at(self) -> int:
        """Return where transformed weights stand, in bytes."""
        return 16 * self.pixels_step * 2

    @property
    def sums_at(self) -> int:
        """Return where the sums of products stand."""
        return self.weights_at + self.vectors * self.vector_bytes

    @property
    def pixels_step(self) -> int:
        """Return the int16 elements from one of the 16 transformed pixels to the next, in another cache set."""
        return self.strip * self.columns * self.channels + ALIGNMENT // 2

    @property
    def weights_step(self) -> int:
        """Return the 32-bit words from one of the 16 transformed weights to the next."""
        return self.depth * 2 * LANES + ALIGNMENT // 4

    @property
    def vector_bytes(self) -> int:
        """Return the bytes of transformed weights of 16 output channels."""
        return 16 * self.weights_step * 4

    @property
    def scratch(self) -> int:
        """Return the bytes of working memory."""
        return self.sums_at + 16 * self.group * LANES * 4


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution, a word of four or two input channels a step; a linear layer's window is the whole input."""

    height: int
    width: int
    vectors: int
    """Vectors of 16 channels that the result has."""
    blocks: int
    """Blocks of ``tile.vectors`` vectors."""
    kernel: tuple[int, int]
    words: int
    """Steps of four channels per tap (or per row of taps, where those follow each other); even with nibbles."""
    taps: int
    """Taps per row; 1 where a row's taps follow each other in memory and count as one."""
    x: Plane
    """In words of four channels; the origin is that of the first tap of output pixel (0, 0)."""
    step: tuple[int, int]
    """Words from one output row, column to the next."""
    dilation: tuple[int, int]
    """Words from one tap row, column to the next."""
    nibbles: bool
    """Whether weights stand two to a byte and are widened to 16 times themselves in registers."""
    windowed: bool
    """Whether each block reads a window of channels of its own (groups), from a table."""
    tile: Tile
    """With 32 registers of 64 bytes; the weights are packed in its blocks."""
    narrow_tile: Tile
    """With 16 registers of 32 bytes and byte products."""
    madd_tile: Tile
    """With 16 registers of 32 bytes and int16 products."""
    pixels_outside: bool
    """Whether the loop over pixels is the outer one: small weights stay in cache."""
    short: bool
    """Whether byte products are summed in int16 to the end, where every order of them is proven to fit."""
    prefetch: int
    """How many bytes ahead weights are fetched; 0 where they stay in cache."""
    stores: tuple[StoreForm, ...]
    kind: Literal["conv", "conv16"] = "conv"
    """``conv16``: words are two channels of 16 bits."""
    widened: bool = False
    """Whether the input is bytes that are widened to 16 bits first."""
    roomy: bool = False
    """Whether four times every sum fits int32."""
    sums_at: int = 0
    """Where the sums of windows stand in working memory; 0 where they are not needed."""

    @property
    def in_place(self) -> bool:
        """Return whether a result overwrites an operand, so that no pixel may be stored twice."""
        return any(store.in_place for store in self.stores)

    @property
    def title(self) -> str:
        """Return what the kernel computes, in words."""
        tall = self.kernel[0]
        grouped = ", grouped" if self.windowed else ""
        bits = ", 4-bit weights" if self.nibbles else ""
        sums = ", int16 sums" if self.short else ""
        taps = f"{tall}x{self.taps} taps, {self.words * 4} bytes each"
        return f"{taps}, {self.height}x{self.width} pixels{grouped}{bits}{sums}"

    @property
    def input_bytes(self) -> int:
        """Return the bytes of the input's words, slack included."""
        return self.x.elements * 4

    @property
    def scratch(self) -> int:
        """Return the bytes that the input takes when widened to int16; byte products meet it as it is."""
        if self.sums_at:
            return self.sums_at + 4 * self.height * self.width
        if self.kind == "conv16":
            return self.input_bytes if self.widened else 0
        tiles = 0 if self.tiles is None else self.tiles.scratch
        if self.winograd is not None:
            return max(self.winograd.scratch, tiles)
        if self.nibbles or self.short:
            return tiles
        slots = self.vectors if self.pixels_outside else 1
        weights = slots * self.steps * 2 * WORD * LANES if self.paired else 0
        return max(self.paired_at + weights, tiles)

    @property
    def steps(self) -> int:
        """Return the steps of four channels of a whole window."""
        return self.kernel[0] * self.taps * self.words

    @property
    def paired(self) -> bool:
        """Return whether AVX2 widens weights to pairs of int16 first: enough pixels use them."""
        return self.height * self.width >= LEAST_PIXELS

    @property
    def paired_at(self) -> int:
        """Return where they stand in working memory, behind the widened input."""
        return round_up(2 * self.input_bytes, ALIGNMENT)

    @property
    def winograd(self) -> Winograd | None:
        """Return how AVX2 computes it with fewer products, ``None`` where it cannot or need not."""
        dense = (self.x.row, self.x.pixel)
        odd = self.windowed or self.short or self.sums_at or self.kind != "conv"
        if (
            odd
            or not self.roomy
            or (self.step, self.dilation, self.kernel) != (dense, dense, (3, 3))
        ):
            return None
        depth = self.words * self.taps // 3
        rows, columns = -(-self.height // 2), -(-self.width // 2)
        if (
            depth < LANES // WORD
            or min(self.height, self.width) < 2
            or rows * columns < LEAST_WINDOWS
        ):
            return None
        whole = Winograd(rows, columns, depth, rows, 1)
        if whole.vector_bytes * self.vectors > NEAR or whole.weights_at <= NEAR:
            return whole
        strip = max(1, NEAR * rows // whole.weights_at)
        return replace(whole, strip=-(-rows // -(-rows // strip)), vectors=self.vectors)

    @property
    def tiles(self) -> Tiles | None:
        """Return how AMX computes it, ``None`` where tiles would be too small to gain anything."""
        depth = max(d for d in range(1, TILE_ROWS + 1) if self.words % d == 0)
        if self.kind != "conv" or depth < LEAST_DEPTH or self.width < LEAST_COLUMNS:
            return None
        vectors = 1 if self.windowed or self.vectors == 1 else 2
        rows = min(2 if vectors == 2 else 3, self.height)
        columns = -(-self.width // -(-self.width // TILE_ROWS))
        fits = self.weight_bytes <= SHARED_WEIGHTS
        exchanged = self.pixels_outside != (self.weight_bytes <= RESIDENT)
        return Tiles(
            tile=Tile(rows, columns, vectors),
            depth=depth,
            steps=self.steps // depth,
            pixels_outside=fits != exchanged and not self.nibbles,
            ahead=self.prefetch * self.tile.vectors,
            widened=self.steps * TILE_BYTES * vectors if self.nibbles else 0,
        )

    @property
    def weight_bytes(self) -> int:
        """Return the bytes of the packed weights."""
        return self.blocks * self.block_bytes

    @property
    def block_bytes(self) -> int:
        """Return the bytes of one block's weights."""
        size = self.kernel[0] * self.taps * self.words * self.tile.vectors * 4 * LANES
        return size // 2 if self.nibbles else size

    @property
    def channels(self) -> int:
        """Return the output channels, padded to blocks."""
        return self.blocks * self.tile.vectors * LANES

    def shares_rows(self, rows: int) -> bool:
        """Return whether threads share the rows of tiles, and not the output channels too.

        Rows keep what a thread wrote near it; channels spare it weights that are too large for its cache.
        """
        return rows >= LEAST_ROWS and self.weight_bytes <= SHARED_WEIGHTS


@dataclass(frozen=True, slots=True)
class Strip:
    """How a depthwise kernel divides a row of pixels."""

    count: int
    """Strips, the last of which may overlap the one before it."""
    tiles: int
    """Of pixels that are computed together, per strip; the last may overlap the one before it."""
    pixels: int
    """Of a strip."""


@dataclass(frozen=True, slots=True)
class Depthwise:
    """A convolution of every channel with itself, 16, 32 or 64 channels at a time, four taps of a column a step.

    A column of the input is interleaved once and used by every output pixel of the tile whose window it lies in.
    """

    height: int
    width: int
    vectors: int
    """Vectors of 16 channels."""
    lanes: int
    """Channels computed together, and the unit of the packed weights."""
    kernel: tuple[int, int]
    quads: int
    """Groups of four tap rows."""
    x: Plane
    """The origin is that of the first tap of output pixel (0, 0)."""
    step: tuple[int, int]
    """Elements from one output row, column to the next."""
    dilation: tuple[int, int]
    """Elements from one tap row, column to the next."""
    columns: int
    """Output pixels of a row computed together with 32 registers of 64 bytes."""
    narrow_columns: int
    """The same with 16 registers of 32 bytes, which hold 32 channels at most."""
    stores: tuple[StoreForm, ...]
    planes: int = 1
    """Bytes whose sum is a weight: more than one where weights have zero points."""
    kind: Literal["depthwise"] = "depthwise"

    def strip(self, columns: int) -> Strip:
        """Return how a row is divided where so many pixels are computed together."""
        tiles = -(-self.width // columns)
        count = -(-tiles * columns // STRIP)
        tiles = -(-tiles // count)
        return Strip(count, tiles, self.width if count == 1 else tiles * columns)

    @property
    def sums_at(self) -> int:
        """Return where a strip's sums stand in working memory, in bytes, behind weights of 16 bits."""
        return self.quads * self.kernel[1] * 2 * WORD * LANES

    @property
    def scratch(self) -> int:
        """Return the bytes of working memory."""
        most = max(self.strip(n).pixels for n in (self.columns, self.narrow_columns))
        return self.sums_at + most * self.lanes * 4

    def taps(self, columns: int) -> tuple[tuple[int, tuple[tuple[int, int], ...]], ...]:
        """Return each input column's offset, with the pairs (output pixel, tap column) that use it."""
        uses: dict[int, list[tuple[int, int]]] = {}
        for pixel in range(columns):
            for tap in range(self.kernel[1]):
                offset = pixel * self.step[1] + tap * self.dilation[1]
                uses.setdefault(offset, []).append((pixel, tap))
        return tuple((offset, tuple(pairs)) for offset, pairs in sorted(uses.items()))

    @property
    def weight_bytes(self) -> int:
        """Return the bytes of the packed weights."""
        return self.vectors * LANES * self.quads * self.kernel[1] * self.planes * 4


@dataclass(frozen=True, slots=True)
class WideDepthwise:
    """The same on 32-bit products, for tensors or weights that bytes do not hold; 16 channels at a time."""

    height: int
    width: int
    vectors: int
    kernel: tuple[int, int]
    x: Plane
    """The origin is that of the first tap of output pixel (0, 0)."""
    step: tuple[int, int]
    """Elements from one output row, column to the next."""
    dilation: tuple[int, int]
    """Elements from one tap row, column to the next."""
    stores: tuple[StoreForm, ...]
    kind: Literal["wide_depthwise"] = "wide_depthwise"


@dataclass(frozen=True, slots=True)
class WindowSums:
    """The sum of each window of stored codes: first of every pixel's channels, then of its taps."""

    height: int
    width: int
    pixels: int
    """Of the input's buffer, halo included."""
    channels: int
    x: Plane
    origin: int
    """The pixel of the first tap of output pixel (0, 0)."""
    step: tuple[int, int]
    """Pixels from one output row, column to the next."""
    dilation: tuple[int, int]
    """Pixels from one tap row, column to the next."""
    kernel: tuple[int, int]
    at: int
    """Bytes of working memory before the sums; the pixels' own stand there."""
    kind: Literal["window_sums"] = "window_sums"

    @property
    def chunks(self) -> int:
        """Return the vectors of 16 channels of a pixel."""
        return -(-self.channels // LANES)


@dataclass(frozen=True, slots=True)
class AffineMap:
    """Per-channel affine requantization of a stored tensor."""

    height: int
    width: int
    chunks: int
    """Vectors of 16 channels a pixel."""
    x: Plane
    out: Plane
    channels: int
    kind: Literal["affine"] = "affine"


@dataclass(frozen=True, slots=True)
class PixelAffine:
    """The same for pixels of at most four channels: four pixels a step."""

    height: int
    width: int
    """At least four: the last step of a row begins four pixels before its end."""
    x: Plane
    out: Plane
    shuffle: tuple[int, ...]
    """Which of 16 loaded bytes goes to each lane."""
    kind: Literal["pixel_affine"] = "pixel_affine"


@dataclass(frozen=True, slots=True)
class AddStoreForm:
    """One stored sum: kinds and planes of both operands."""

    out: Plane
    kinds: tuple[AddendKind, AddendKind]
    operands: tuple[Plane, Plane]
    wide: bool
    in_place: bool


@dataclass(frozen=True, slots=True)
class AddMaps:
    """Elementwise sum of two stored tensors."""

    height: int
    width: int
    chunks: int
    stores: tuple[AddStoreForm, ...]
    kind: Literal["add"] = "add"

    @property
    def in_place(self) -> bool:
        """Return whether a sum overwrites an operand."""
        return any(store.in_place for store in self.stores)


@dataclass(frozen=True, slots=True)
class Window:
    """A pooling window over a map, clipped to it."""

    size: tuple[int, int]
    """Of the input map."""
    kernel: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int]
    """Padding above and to the left."""
    dilation: tuple[int, int]


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Maximum over a window clipped to the map."""

    height: int
    width: int
    chunks: int
    lanes: int
    window: Window
    x: Plane
    out: Plane
    lowest: int
    kind: Literal["max_pool"] = "max_pool"


@dataclass(frozen=True, slots=True)
class AvgPool:
    """Mean over a window clipped to the map."""

    height: int
    width: int
    chunks: int
    window: Window
    x: Plane
    zero: int
    populations: int
    stores: tuple[StoreForm, ...]
    kind: Literal["avg_pool"] = "avg_pool"


@dataclass(frozen=True, slots=True)
class Move:
    """A copy of rows of pixels; ``x.row`` and ``x.pixel`` hold a slice's steps."""

    height: int
    width: int
    channels: int
    channel_step: int
    x: Plane
    out: Plane
    kind: Literal["move"] = "move"


@dataclass(frozen=True, slots=True)
class Renumber:
    """A reshape that has to move: element by element in flat HWC order."""

    total: int
    x: Plane
    x_shape: tuple[int, int, int]
    out: Plane
    out_shape: tuple[int, int, int]
    kind: Literal["renumber"] = "renumber"


@dataclass(frozen=True, slots=True)
class TableMap:
    """A function of bytes, looked up element by element."""

    height: int
    width: int
    channels: int
    entries: int
    """Of one table."""
    apart: bool
    """Whether every channel has a table of its own."""
    x: Plane
    out: Plane
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class MultiplyMaps:
    """Elementwise product of two stored tensors; along an axis of length 1 an operand stands still."""

    height: int
    width: int
    chunks: int
    operands: tuple[Plane, Plane]
    zeros: tuple[int, int]
    single: tuple[bool, bool]
    """Which operands have one channel for all."""
    stores: tuple[StoreForm, ...]
    kind: Literal["multiply"] = "multiply"


@dataclass(frozen=True, slots=True)
class TakeMap:
    """Chosen rows, columns and channels; which of them are chosen, and not all, says ``chosen``."""

    height: int
    width: int
    channels: int
    chosen: tuple[bool, bool, bool]
    x: Plane
    out: Plane
    kind: Literal["take"] = "take"

    @property
    def starts(self) -> tuple[int, int, int]:
        """Return where the offsets of rows, columns and channels begin in their one array."""
        return 0, self.height, self.height + self.width


@dataclass(frozen=True, slots=True)
class Rearrangement:
    """A permutation of axes that stand at fixed strides in both tensors; the last loop is the innermost."""

    sizes: tuple[int, ...]
    x_strides: tuple[int, ...]
    out_strides: tuple[int, ...]
    x: Plane
    out: Plane
    kind: Literal["rearrange"] = "rearrange"

    @property
    def vectors(self) -> bool:
        """Return whether the innermost axis is copied in vectors of 16."""
        together = self.x_strides[-1] == self.out_strides[-1] == 1
        return together and self.sizes[-1] % LANES == 0


@dataclass(frozen=True, slots=True)
class Scatter:
    """A rearrangement whose shapes share no axes: element by element through a table of places."""

    total: int
    x: Plane
    out: Plane
    out_shape: tuple[int, int, int]
    kind: Literal["scatter"] = "scatter"


@dataclass(frozen=True, slots=True)
class ResampleMap:
    """Linear interpolation; tables hold two offsets and a weight per row and per column."""

    height: int
    width: int
    chunks: int
    whole: int
    """The sum of two weights."""
    zero: int
    x: Plane
    stores: tuple[StoreForm, ...]
    kind: Literal["resample"] = "resample"


Kernel = (
    Conv
    | Depthwise
    | WideDepthwise
    | WindowSums
    | AffineMap
    | PixelAffine
    | AddMaps
    | MaxPool
    | AvgPool
    | Move
    | Renumber
    | TableMap
    | MultiplyMaps
    | TakeMap
    | Rearrangement
    | Scatter
    | ResampleMap
)
"""Every kernel context; ``kind`` names the template."""
