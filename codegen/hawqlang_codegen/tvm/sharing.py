"""Which tensors share a buffer, so that nothing is copied and nothing is kept twice.

- The parts of a concatenation are written straight into its pixels, each at its first channel.
- A sum overwrites an operand that nothing reads afterwards: element by element, in one place.
- A reshape that moves nothing stays where its input is (see ``layout``).

Vectors of 16 channels are stored whole, so a part begins at a multiple of 16 or more; lanes behind its last channel
belong to a part that is copied in afterwards, or to nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self, TypeVar

from hawqlang.ir.integer import IntegerOp, IntegerProgram
from hawqlang.ops import (
    Add,
    AddStore,
    AvgPool2d,
    Concat,
    Conv2d,
    Linear,
    MaxPool2d,
    Multiply,
    Pad,
    Rearrange,
    Resample,
    Reshape,
    Slice,
    Store,
    Table,
    Take,
    reads,
)
from hawqlang_codegen.tvm.layout import (
    Layout,
    Layouts,
    Sides,
    own_layouts,
    readers_of,
    reshaped,
)


class Placed(Protocol):
    """What sharing asks of a back end's layouts."""

    @property
    def channels(self) -> int:
        """Return the tensor's channels."""
        ...

    @property
    def unit(self) -> int:
        """Return the channels at whose multiples a part may begin."""
        ...

    def is_coded_like(self, other: Self) -> bool:
        """Return whether both store a value in the same way."""
        ...

    def is_shaped_like(self, other: Self) -> bool:
        """Return whether elements of both stand in the same places."""
        ...


LayoutT = TypeVar("LayoutT", bound=Placed)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a back end's kernels can do with tensors that share pixels with others."""

    writes_parts: Callable[[IntegerOp], Iterable[str]]
    """The outputs of which a kernel writes a tensor's own vectors of channels and nothing else."""
    reads_parts: Callable[[IntegerOp], bool]
    overwrites: Callable[[IntegerOp], bool]
    """Whether a sum may take the place of an operand."""


@dataclass(slots=True)
class Sharing:
    """Who owns each tensor's buffer, and where in its pixels the tensor begins."""

    owner: dict[str, str]
    channel: dict[str, int] = field(default_factory=dict[str, int])
    whole: dict[str, str] = field(default_factory=dict[str, str])
    """The tensor whose pixels these are: of a part that was written in place, the concatenation."""

    def members(self, owner: str) -> list[str]:
        """Return the tensors in a buffer."""
        return [name for name, own in self.owner.items() if own == owner]

    def is_alone(self, name: str) -> bool:
        """Return whether a tensor has a buffer to itself."""
        return self.members(self.owner[name]) == [name]


def share(
    program: IntegerProgram,
    own: Mapping[str, LayoutT],
    abilities: Abilities,
    copied: Collection[str] = (),
) -> Sharing:
    """Return who shares with whom; parts of the concatenations called ``copied`` have their own buffers."""
    readers = readers_of(program)
    sharing = Sharing({tensor.name: tensor.name for tensor in program.tensors})
    for op in reversed(program.ops):
        if isinstance(op, Concat) and op.name not in copied:
            _place_parts(op, program, own, readers, abilities, sharing)
    sharing.whole = dict(sharing.owner)
    for step, op in enumerate(program.ops):
        if abilities.overwrites(op):
            _overwrite(op, step, program, own, readers, sharing)
    return sharing


def choose_layouts(program: IntegerProgram, copied: Collection[str] = ()) -> Layouts:
    """Return a layout for every tensor; parts of the concatenations called ``copied`` have their own buffers."""
    readers = readers_of(program)
    own = own_layouts(program, readers)
    sharing = share(program, own, ABILITIES, copied)
    of, buffer = _joined(sharing, own), sharing.owner
    for op in program.ops:
        if isinstance(op, Reshape) and op.output != program.output:
            stays = reshaped(of[op.x], of[op.output], readers[op.output], op.output)
            if stays is not None:
                of[op.output], buffer[op.output] = stays, buffer[op.x]
    return Layouts(of=of, buffer=buffer, whole=sharing.whole)


def _joined(sharing: Sharing, layouts: Mapping[str, Layout]) -> dict[str, Layout]:
    """Return the layouts of tensors that share: one pixel and one halo a buffer."""
    sides: dict[str, Sides] = {}
    for name, owner in sharing.owner.items():
        most = sides.get(owner, (0, 0, 0, 0))
        top, left, bottom, right = map(max, most, layouts[name].sides)
        sides[owner] = (top, left, bottom, right)
    return {
        name: replace(
            layouts[name].within(sides[owner]),
            pixel=layouts[owner].pixel,
            channel=sharing.channel.get(name, 0),
        )
        for name, owner in sharing.owner.items()
    }


def sums(op: IntegerOp) -> tuple[Store | AddStore, ...]:
    """Return the stores of an operator that may add a stored operand."""
    return op.stores if isinstance(op, Add | Conv2d | Linear) else ()


def overwrites(store: Store | AddStore, buffer: Mapping[str, str]) -> bool:
    """Return whether a sum takes the place of one of its operands."""
    return any(buffer[name] == buffer[store.output] for name in addends(store))


def in_order(op: IntegerOp, buffer: Mapping[str, str]) -> IntegerOp:
    """Return the operator with the sum that overwrites an operand last: others may read it too."""
    if not isinstance(op, Add | Conv2d | Linear):
        return op
    return op.replace(stores=tuple(sorted(op.stores, key=lambda s: overwrites(s, buffer))))


def addends(store: Store | AddStore) -> tuple[str, ...]:
    """Return the stored operands of a sum."""
    if isinstance(store, AddStore):
        return store.a.x, store.b.x
    return () if store.addend is None else (store.addend.x,)


def _place_parts(
    op: Concat,
    program: IntegerProgram,
    layouts: Mapping[str, LayoutT],
    readers: Mapping[str, list[IntegerOp]],
    abilities: Abilities,
    found: Sharing,
) -> None:
    """Put every part that can be written in place into the concatenation's buffer."""
    made = {name: one for one in program.ops for name in abilities.writes_parts(one)}
    channel = found.channel.get(op.output, 0)
    for name in op.inputs:
        if (
            channel % layouts[name].unit == 0
            and name in made
            and found.owner[name] == name
            and found.is_alone(name)
            and layouts[name].is_coded_like(layouts[op.output])
            and all(abilities.reads_parts(reader) for reader in readers[name])
        ):
            found.owner[name] = found.owner[op.output]
            found.channel[name] = channel
        channel += layouts[name].channels


def _writes_vectors(op: IntegerOp) -> Iterator[str]:
    """Yield the outputs of which a kernel writes a tensor's own vectors of channels and nothing else."""
    match op:
        case Conv2d() | Linear() | Add() | AvgPool2d():
            if not is_depthwise(op):
                yield from (store.output for store in op.stores)
        case Multiply() | Resample():
            yield from (store.output for store in op.stores)
        case MaxPool2d() | Concat() | Table() | Take() | Rearrange():
            yield op.output
        case _:
            return


def _reads_part(op: IntegerOp) -> bool:
    """Return whether a kernel can read a tensor whose pixels hold channels of others."""
    match op:
        case Conv2d():
            return op.groups == 1
        case (
            Concat()
            | MaxPool2d()
            | AvgPool2d()
            | Add()
            | Slice()
            | Pad()
            | Table()
            | Multiply()
            | Take()
            | Rearrange()
            | Resample()
        ):
            return True
        case _:
            return False


def is_depthwise(op: IntegerOp) -> bool:
    """Return whether a kernel computes all channels of a pixel, those of others included."""
    return isinstance(op, Conv2d) and 1 < op.groups == op.weight_shape[0]


ABILITIES = Abilities(_writes_vectors, _reads_part, lambda op: not is_depthwise(op))
"""Of the kernels for CPUs."""


def _overwrite(
    op: IntegerOp,
    step: int,
    program: IntegerProgram,
    layouts: Mapping[str, LayoutT],
    readers: Mapping[str, list[IntegerOp]],
    found: Sharing,
) -> None:
    """Let one sum of an operator take the place of an operand that is read for the last time."""
    later = {name for one in program.ops[step + 1 :] for name in reads(one)} | {program.output}
    for store in sums(op):
        for name in addends(store):
            owner = found.owner[name]
            group = found.members(owner)
            beside = [x for x in addends(store) if x != name]
            beside += [op.x] if isinstance(op, Conv2d | Linear) else []
            if (
                owner != program.input
                and found.channel.get(name, 0) == 0
                and addends(store).count(name) == 1
                and found.is_alone(store.output)
                and layouts[owner].is_shaped_like(layouts[store.output])
                and not any(found.owner[x] == owner for x in beside)
                and not later.intersection(group)
                and not any(isinstance(r, Reshape) for member in group for r in readers[member])
            ):
                found.owner[store.output] = owner
                return
