"""How stored tensors lie in device memory: ``[image][y][x][channel]``, a pixel's channels padded to whole vectors.

Up to 4 bits two values stand in a byte where every convolution that reads them has weights of nibbles too; up to 8 bits
one in a byte, up to 16 in two, else in four. Values are stored as they are, signed or unsigned. The network's input
and its logits are dense, as the caller sees them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hawqlang.ir.integer import IntegerOp, IntegerProgram, QTensor
from hawqlang.ops import Conv2d, Linear, Reshape
from hawqlang_codegen.tvm.layout import extent, readers_of, round_up

Format: TypeAlias = Literal["kU8", "kS8", "kU4", "kS4", "kU16", "kS16", "kS32"]
BITS: dict[Format, int] = {
    "kU8": 8,
    "kS8": 8,
    "kU4": 4,
    "kS4": 4,
    "kU16": 16,
    "kS16": 16,
    "kS32": 32,
}
"""Bits of one element in memory."""
VECTOR = 16
"""Channels that a thread handles at once."""
NIBBLE_BITS = 4
CHUNK = 16
"""Bytes of a pixel that come in at once."""
WORD = 4
"""Bytes of a pixel with at most four channels that only convolutions read."""
ALIGNMENT = 256


@dataclass(frozen=True, slots=True)
class Layout:
    """One tensor in memory."""

    height: int
    width: int
    channels: int
    pixel: int
    """Elements from one pixel to the next."""
    format: Format

    @property
    def bits(self) -> int:
        """Return the bits of one element in memory."""
        return BITS[self.format]

    @property
    def nibbles(self) -> bool:
        """Return whether two values stand in a byte."""
        return self.bits == NIBBLE_BITS

    @property
    def signed(self) -> bool:
        """Return whether values are stored as two's complement."""
        return self.format.startswith("kS")

    @property
    def pixel_bytes(self) -> int:
        """Return the bytes from one pixel to the next."""
        return self.pixel * self.bits // 8

    @property
    def elements(self) -> int:
        """Return the elements from one image to the next."""
        return self.height * self.width * self.pixel

    @property
    def size(self) -> int:
        """Return the bytes to reserve for one image."""
        return round_up(self.height * self.width * self.pixel_bytes, ALIGNMENT)

    @property
    def dense(self) -> bool:
        """Return whether the values stand in flat order without gaps."""
        return self.pixel == self.channels or self.height * self.width == 1


@dataclass(frozen=True, slots=True)
class Layouts:
    """Where every tensor of a program lives."""

    of: Mapping[str, Layout]
    buffer: Mapping[str, str]
    """The tensor that owns the buffer: a reshape that moves nothing shares its input's."""


@dataclass(frozen=True, slots=True)
class Readers:
    """What convolutions on tensor cores ask of the tensors they read, by name of the operator."""

    products: frozenset[str]
    """Operators that tensor cores compute."""
    nibbles: frozenset[str]
    """Those whose weights are nibbles, with room for nibble activations."""


def choose_layouts(program: IntegerProgram, wishes: Readers) -> Layouts:
    """Return a layout for every tensor of ``program``."""
    readers = readers_of(program)
    family = _families(program)
    members: dict[str, list[str]] = {}
    for name, head in family.items():
        members.setdefault(head, []).append(name)
    of: dict[str, Layout] = {}
    for tensor in program.tensors:
        together = [(name, op) for name in members[family[tensor.name]] for op in readers[name]]
        packed = all(_takes_nibbles(op, name, wishes) for name, op in together)
        of[tensor.name] = _layout(program, tensor, readers[tensor.name], wishes, packed=packed)
    return Layouts(of=of, buffer=_buffers(program, of))


def _families(program: IntegerProgram) -> dict[str, str]:
    """Return for each tensor the first of those that reshapes make of each other: they share one format."""
    family = {tensor.name: tensor.name for tensor in program.tensors}
    for op in program.ops:
        if isinstance(op, Reshape):
            family[op.output] = family[op.x]
    return family


def _takes_nibbles(op: IntegerOp, name: str, wishes: Readers) -> bool:
    """Return whether a reader leaves it open, or wants its input packed."""
    if not isinstance(op, Conv2d | Linear) or op.x != name or op.name not in wishes.products:
        return True
    return op.name in wishes.nibbles


def _layout(
    program: IntegerProgram,
    tensor: QTensor,
    readers: list[IntegerOp],
    wishes: Readers,
    *,
    packed: bool,
) -> Layout:
    height, width, channels = extent(tensor.shape)
    if tensor.name in (program.input, program.output):
        return Layout(height, width, channels, channels, _format(tensor, packed=False))
    if channels <= WORD and tensor.bits <= 8 and _only_words(tensor.name, readers, wishes):
        return Layout(height, width, channels, WORD, _format(tensor, packed=False))
    kind = _format(tensor, packed=packed)
    pixel = round_up(channels, max(VECTOR, CHUNK * 8 // BITS[kind]))
    return Layout(height, width, channels, pixel, kind)


def _only_words(name: str, readers: list[IntegerOp], wishes: Readers) -> bool:
    return bool(readers) and all(
        isinstance(op, Conv2d)
        and op.x == name
        and op.name in wishes.products
        and all(store.addend is None or store.addend.x != name for store in op.stores)
        for op in readers
    )


def _format(tensor: QTensor, *, packed: bool) -> Format:
    if tensor.bits > 16:
        return "kS32"
    if tensor.bits > 8:
        return "kS16" if tensor.signed else "kU16"
    if tensor.bits <= NIBBLE_BITS and packed:
        return "kS4" if tensor.signed else "kU4"
    return "kS8" if tensor.signed else "kU8"


def _buffers(program: IntegerProgram, of: dict[str, Layout]) -> dict[str, str]:
    buffer = {tensor.name: tensor.name for tensor in program.tensors}
    for op in program.ops:
        if not isinstance(op, Reshape) or program.output == op.output or program.input == op.x:
            continue
        x, y = of[op.x], of[op.output]
        if x.dense and y.dense and x.format == y.format and x.elements == y.elements:
            buffer[op.output] = buffer[op.x]
    return buffer
