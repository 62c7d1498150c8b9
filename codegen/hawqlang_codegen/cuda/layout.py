"""How stored tensors lie in device memory: ``[image][y][x][channel]``, a pixel's channels padded to whole vectors.

Up to 4 bits two values stand in a byte where every convolution that reads them has weights of nibbles too; up to 8 bits
one in a byte, up to 16 in two, else in four. Values are stored as they are, signed or unsigned. The network's input
and its logits are dense, as the caller sees them. Who shares a buffer is decided as for CPUs (``tvm.sharing``); every
kernel here writes whole vectors of its own channels and nothing else, so all but reshapes can read and write parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from hawqlang.ir.integer import IntegerOp, IntegerProgram, QTensor
from hawqlang.ops import Conv2d, Linear, Reshape, writes
from hawqlang_codegen.tvm.layout import extent, readers_of, round_up
from hawqlang_codegen.tvm.sharing import Abilities, share

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
    channel: int = 0
    """Where the first channel stands in a pixel that the tensor shares with others."""
    outside: bool = False
    """Whether the caller owns the memory."""

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
    def channel_bytes(self) -> int:
        """Return the bytes before the first channel of a pixel."""
        return self.channel * self.bits // 8

    @property
    def depth_bytes(self) -> int:
        """Return the bytes of a pixel that a product reads: its own channels in whole chunks, or one word."""
        if self.pixel_bytes == WORD:
            return WORD
        return round_up(self.channels * self.bits, 8 * CHUNK) // 8

    @property
    def unit(self) -> int:
        """Return the channels at whose multiples a part of a concatenation may begin: whole vectors, whole chunks."""
        return unit_of(self.format)

    @property
    def lanes(self) -> range:
        """Return the lanes of a pixel that the tensor takes, to whole vectors and chunks."""
        end = self.channel + round_up(self.channels, self.unit)
        return range(self.channel, min(end, self.pixel))

    def share(self, lanes: int) -> int:
        """Return the bytes of so many lanes of each pixel of the buffer."""
        return self.size if lanes >= self.pixel else self.size * lanes // self.pixel

    def is_coded_like(self, other: Layout) -> bool:
        """Return whether both store a value in the same way, in memory of the model's own."""
        return self.format == other.format and not (self.outside or other.outside)

    def is_shaped_like(self, other: Layout) -> bool:
        """Return whether elements of both stand in the same places of memory of the model's own."""
        own = (self.bits, self.height, self.width, self.channels, self.pixel)
        its = (other.bits, other.height, other.width, other.channels, other.pixel)
        return own == its and not (self.outside or other.outside)

    @property
    def elements(self) -> int:
        """Return the elements from one image to the next."""
        return self.height * self.width * self.pixel

    @property
    def size(self) -> int:
        """Return the bytes to reserve for one image: none where the caller owns them."""
        if self.outside:
            return 0
        return round_up(self.height * self.width * self.pixel_bytes, ALIGNMENT)

    @property
    def dense(self) -> bool:
        """Return whether the values stand in flat order without gaps."""
        return self.channel == 0 and (self.pixel == self.channels or self.height * self.width == 1)


@dataclass(frozen=True, slots=True)
class Layouts:
    """Where every tensor of a program lives."""

    of: Mapping[str, Layout]
    buffer: Mapping[str, str]
    """The tensor that owns the buffer: a tensor itself, or one that it shares with."""


def _writes_parts(op: IntegerOp) -> Iterator[str]:
    """Yield the outputs that a kernel can write into pixels that hold channels of others."""
    if not isinstance(op, Reshape):
        yield from writes(op)


def _reads_part(op: IntegerOp) -> bool:
    """Return whether a kernel can read a tensor whose pixels hold channels of others."""
    return not isinstance(op, Reshape)


ABILITIES = Abilities(_writes_parts, _reads_part, lambda _: True)
"""Of the kernels for GPUs."""


@dataclass(frozen=True, slots=True)
class Readers:
    """What convolutions on tensor cores ask of the tensors they read, by name of the operator."""

    products: frozenset[str]
    """Operators that tensor cores compute."""
    nibbles: frozenset[str]
    """Those whose weights are nibbles, with room for nibble activations."""


def choose_layouts(
    program: IntegerProgram, wishes: Readers, copied: Collection[str] = ()
) -> Layouts:
    """Return a layout for every tensor; parts of the concatenations called ``copied`` have their own buffers."""
    own = own_layouts(program, wishes)
    sharing = share(program, own, ABILITIES, copied)
    of = {
        name: replace(own[name], pixel=own[owner].pixel, channel=sharing.channel.get(name, 0))
        for name, owner in sharing.owner.items()
    }
    return Layouts(of=of, buffer=_with_reshapes(program, of, sharing.owner))


def own_layouts(program: IntegerProgram, wishes: Readers) -> dict[str, Layout]:
    """Return the layout that every tensor has in a buffer of its own."""
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
    return of


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
        return Layout(
            height, width, channels, channels, _format(tensor, packed=False), outside=True
        )
    if channels <= WORD and tensor.bits <= 8 and _only_words(tensor.name, readers, wishes):
        return Layout(height, width, channels, WORD, _format(tensor, packed=False))
    kind = _format(tensor, packed=packed)
    return Layout(height, width, channels, round_up(channels, unit_of(kind)), kind)


def unit_of(kind: Format) -> int:
    """Return how many channels are whole vectors and whole chunks."""
    return max(VECTOR, CHUNK * 8 // BITS[kind])


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


def _with_reshapes(
    program: IntegerProgram, of: Mapping[str, Layout], owner: Mapping[str, str]
) -> dict[str, str]:
    """Return who owns each buffer, reshapes that move nothing with their input."""
    buffer = dict(owner)
    for op in program.ops:
        if not isinstance(op, Reshape) or program.output == op.output or program.input == op.x:
            continue
        x, y = of[op.x], of[op.output]
        alone = buffer[op.output] == op.output
        if alone and x.dense and y.dense and x.format == y.format and x.elements == y.elements:
            buffer[op.output] = buffer[op.x]
    return buffer
