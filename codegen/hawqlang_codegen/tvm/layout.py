"""How stored tensors lie in memory: NHWC, channels padded, borders filled with the zero point.

A tensor of at most 8 bits is stored as uint8, a signed one shifted up by ``2^(bits−1)`` (its *bias*), so that every
kernel reads unsigned bytes. One of 9 to 16 bits is stored as int16, an unsigned one of 16 bits shifted down by
``2^15``. Element ``(y, x, c)`` stands at ``origin + y·row + x·pixel + c``. Around the map lies a
*halo* that holds the stored zero point, as wide as the padded convolutions among the readers need; the lanes between
the last channel and the next pixel hold whatever was computed there and meet zero weights only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hawqlang.ir.integer import IntegerOp, IntegerProgram, QTensor
from hawqlang.ops import Affine, Conv2d, Linear, Reshape, reads

LANES = 16
"""Channels are padded to this many, so that a vector of 16 never leaves its pixel."""
WORD = 4
"""Channels of an image's pixels are padded to this many: one 32-bit word."""
ALIGNMENT = 64
DTYPES = {1: "uint8", 2: "int16", 4: "int32"}
"""TVM's names of the element types, by their bytes."""
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

    @property
    def row(self) -> int:
        """Return the elements from one row to the next."""
        return (self.left + self.width + self.right) * self.pixel

    @property
    def origin(self) -> int:
        """Return where element (0, 0, 0) stands."""
        return self.top * self.row + self.left * self.pixel

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
    """The tensor that owns the buffer: a reshape that moves nothing shares its input's."""


def choose_layouts(program: IntegerProgram) -> Layouts:
    """Return a layout for every tensor of ``program``."""
    readers: dict[str, list[IntegerOp]] = {tensor.name: [] for tensor in program.tensors}
    for op in program.ops:
        for name in reads(op):
            readers[name].append(op)
    of: dict[str, Layout] = {}
    pixels = _pixel_outputs(program, readers[program.input])
    for tensor in program.tensors:
        of[tensor.name] = _layout(program, tensor, readers[tensor.name], tensor.name in pixels)
    buffer = {tensor.name: tensor.name for tensor in program.tensors}
    for op in program.ops:
        if isinstance(op, Reshape):
            shared = _shared(of[op.x], of[op.output], readers[op.output], op.output)
            if shared is not None and op.output != program.output:
                of[op.output] = shared
                buffer[op.output] = buffer[op.x]
    return Layouts(of=of, buffer=buffer)


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
    return replace(layout, top=top, left=left, bottom=bottom, right=right)


def _shared(x: Layout, y: Layout, readers: list[IntegerOp], name: str) -> Layout | None:
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
