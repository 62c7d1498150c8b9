"""How stored tensors lie in memory: NHWC, channels padded, borders filled with the zero point.

A tensor of at most 8 bits is stored as uint8, a signed one shifted up by ``2^(bits−1)`` (its *bias*), so that every
kernel reads unsigned bytes. One of 9 to 16 bits is stored as int16, an unsigned one of 16 bits shifted down by
``2^15``. Element ``(y, x, c)`` stands at ``origin + y·row + x·pixel + c``. Around the map lies a
*halo* that holds the stored zero point, as wide as the padded convolutions among the readers need; the lanes between
the last channel and the next pixel hold whatever was computed there, or a neighbour in a concatenation, and meet zero
weights only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hawqlang.ir.integer import IntegerOp, IntegerProgram, QTensor
from hawqlang.ops import Affine, Conv2d, Linear, reads

LANES = 16
"""Channels are padded to this many, so that a vector of 16 never leaves its pixel."""
WORD = 4
"""Channels of an image's pixels are padded to this many: one 32-bit word."""
ALIGNMENT = 64
DTYPES = {1: "uint8", 2: "int16", 4: "int32"}
"""TVM's names of the element types, by their bytes."""
Sides = tuple[int, int, int, int]
"""Top, left, bottom, right."""
SLACK = 64
"""Bytes behind every tensor that vector loads and stores of a last, partial group may touch."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One tensor's place inside its buffer. Counts are in elements, not bytes."""

    height: int
    width: int
    channels: int
    pixel: int
    """From one pixel to the next."""
    element: int
    """Bytes of one element: 1, 2 or 4."""
    bias: int
    """What was added to a value to store it."""
    zero: int
    """The zero point as stored."""
    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0
    channel: int = 0
    """Where the first channel stands in a pixel that the tensor shares with others."""

    @property
    def row(self) -> int:
        """Return the elements from one row to the next."""
        return (self.left + self.width + self.right) * self.pixel

    @property
    def origin(self) -> int:
        """Return where element (0, 0, 0) stands."""
        return self.top * self.row + self.left * self.pixel + self.channel

    @property
    def sides(self) -> Sides:
        """Return the halo's width on each side."""
        return self.top, self.left, self.bottom, self.right

    @property
    def rows(self) -> int:
        """Return the rows of the buffer, halo included."""
        return self.top + self.height + self.bottom

    @property
    def elements(self) -> int:
        """Return the elements of the buffer, halo included, slack excluded."""
        return self.rows * self.row

    @property
    def size(self) -> int:
        """Return the bytes to reserve: a multiple of ``ALIGNMENT``, slack included."""
        return round_up(self.elements * self.element + SLACK, ALIGNMENT)

    @property
    def has_halo(self) -> bool:
        """Return whether there is anything around the map."""
        return bool(self.top or self.left or self.bottom or self.right)

    @property
    def is_dense(self) -> bool:
        """Return whether the values stand in flat HWC order without gaps."""
        gapless = self.pixel == self.channels or self.height * self.width == 1
        return gapless and not self.has_halo

    @property
    def dtype(self) -> str:
        """Return TVM's name of the element type."""
        return DTYPES[self.element]

    @property
    def unit(self) -> int:
        """Return the channels at whose multiples a part of a concatenation may begin."""
        return LANES

    @property
    def lanes(self) -> range:
        """Return the lanes of a pixel that the tensor takes, to whole vectors."""
        end = self.channel + round_up(self.channels, LANES)
        return range(self.channel, min(end, self.pixel))

    def share(self, lanes: int) -> int:
        """Return the bytes of so many lanes of each pixel of the buffer."""
        if lanes >= self.pixel:
            return self.size
        return self.elements * self.element * lanes // self.pixel

    def within(self, sides: Sides) -> Layout:
        """Return the layout with a halo of those widths."""
        top, left, bottom, right = sides
        return replace(self, top=top, left=left, bottom=bottom, right=right)

    def is_coded_like(self, other: Layout) -> bool:
        """Return whether both store a value in the same way."""
        own, its = (self.element, self.bias, self.zero), (other.element, other.bias, other.zero)
        return own == its

    def is_shaped_like(self, other: Layout) -> bool:
        """Return whether elements of both stand in the same places, halos apart."""
        own = (self.element, self.height, self.width, self.channels, self.pixel)
        return own == (other.element, other.height, other.width, other.channels, other.pixel)


def round_up(value: int, step: int) -> int:
    """Return the least multiple of ``step`` that is at least ``value``."""
    return -(-value // step) * step


def extent(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return ``(H, W, C)`` of a tensor; a vector ``(F,)`` is one pixel of F channels."""
    if len(shape) == 1:
        return 1, 1, shape[0]
    height, width, channels = shape
    return height, width, channels


@dataclass(frozen=True, slots=True)
class Layouts:
    """Where every tensor of a program lives."""

    of: Mapping[str, Layout]
    buffer: Mapping[str, str]
    """The tensor that owns the buffer: a tensor itself, or one that it shares with."""
    whole: Mapping[str, str]
    """The tensor whose pixels these are: of a part that was written in place, the concatenation."""


def readers_of(program: IntegerProgram) -> dict[str, list[IntegerOp]]:
    """Return the operators that read each tensor, in order."""
    readers: dict[str, list[IntegerOp]] = {tensor.name: [] for tensor in program.tensors}
    for op in program.ops:
        for name in reads(op):
            readers[name].append(op)
    return readers


def own_layouts(
    program: IntegerProgram, readers: Mapping[str, list[IntegerOp]]
) -> dict[str, Layout]:
    """Return the layout that every tensor has in a buffer of its own."""
    pixels = _pixel_outputs(program, readers[program.input])
    return {
        tensor.name: _layout(program, tensor, readers[tensor.name], tensor.name in pixels)
        for tensor in program.tensors
    }


def _pixel_outputs(program: IntegerProgram, readers: list[IntegerOp]) -> frozenset[str]:
    """Return the outputs of affine maps of an image of few channels, four columns or more, read by nothing else."""
    _, width, channels = extent(program.tensor(program.input).shape)
    if channels > WORD or width < WORD:
        return frozenset()
    maps = [op for op in readers if isinstance(op, Affine)]
    return frozenset(op.output for op in maps if len(maps) == len(readers))


def _layout(
    program: IntegerProgram, tensor: QTensor, readers: list[IntegerOp], from_pixels: bool
) -> Layout:
    height, width, channels = extent(tensor.shape)
    is_input = tensor.name == program.input
    pixel = round_up(channels, LANES)
    if is_input and all(isinstance(op, Affine) for op in readers):
        pixel = channels
    elif from_pixels and tensor.bits <= 8 and all(_reads_words(op, tensor.name) for op in readers):
        pixel = WORD
    bias = _bias(tensor)
    plain = Layout(
        height=height,
        width=width,
        channels=channels,
        pixel=pixel,
        element=tensor.dtype.itemsize,
        bias=bias,
        zero=tensor.zero_point + bias,
    )
    return _with_halo(plain, (op for op in readers if isinstance(op, Conv2d)), tensor.name)


def _bias(tensor: QTensor) -> int:
    """Return what is added to a tensor's values to store them."""
    if tensor.bits <= 8:
        return 1 << (tensor.bits - 1) if tensor.signed else 0
    return -(1 << 15) if tensor.bits == 16 and not tensor.signed else 0


def _reads_words(op: IntegerOp, name: str) -> bool:
    """Return whether ``op`` reads ``name`` in words of four channels only."""
    if not isinstance(op, Conv2d | Linear) or op.x != name:
        return False
    if isinstance(op, Conv2d) and op.groups > 1:
        return False
    return all(store.addend is None or store.addend.x != name for store in op.stores)


def _with_halo(layout: Layout, convolutions: Iterable[Conv2d], name: str) -> Layout:
    """Return ``layout`` with the halo that its padded readers need, and no more."""
    sides = [0, 0, 0, 0]
    for op in convolutions:
        if op.x != name:
            continue
        for axis, size in enumerate((layout.height, layout.width)):
            reach = op.dilation[axis] * (op.weight_shape[1 + axis] - 1)
            before, after = op.padding[axis], op.padding[axis + 2]
            count = (size + before + after - reach - 1) // op.stride[axis] + 1
            beyond = (count - 1) * op.stride[axis] + reach + 1 - before - size
            sides[axis] = max(sides[axis], before)
            sides[axis + 2] = max(sides[axis + 2], beyond, 0)
    top, left, bottom, right = sides
    return layout.within((top, left, bottom, right))


def reshaped(x: Layout, y: Layout, readers: list[IntegerOp], name: str) -> Layout | None:
    """Return the layout of a reshape's result that stays where its input is, ``None`` where it must be copied."""
    if x.is_dense and y.is_dense and x.element == y.element:
        return replace(y, bias=x.bias, zero=x.zero)
    flat = y.height * y.width == 1
    if (
        flat
        and readers
        and all(isinstance(op, Linear) and _reads_words(op, name) for op in readers)
    ):
        return x
    return None
