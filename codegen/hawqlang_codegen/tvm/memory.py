"""A program's memory: when its tensors are alive, the least bytes that takes, and the arena they get."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from hawqlang.ir.integer import IntegerProgram
from hawqlang.ops import Concat, reads, writes
from hawqlang_codegen.tvm.arena import Arena, Lifetime, plan_arena
from hawqlang_codegen.tvm.layout import Layouts
from hawqlang_codegen.tvm.sharing import choose_layouts

Interval = tuple[int, int]
"""First and last step, both included."""


class Room(Protocol):
    """What planning asks of a tensor's layout."""

    @property
    def size(self) -> int:
        """Return the bytes to reserve."""
        ...

    @property
    def lanes(self) -> range:
        """Return the lanes of a pixel that the tensor takes, to whole vectors."""
        ...

    def share(self, lanes: int) -> int:
        """Return the bytes of so many lanes of each pixel of the buffer."""
        ...


class Places(Protocol):
    """What planning asks of a back end's layouts."""

    @property
    def of(self) -> Mapping[str, Room]:
        """Return the layout of every tensor."""
        ...

    @property
    def buffer(self) -> Mapping[str, str]:
        """Return the tensor that owns each tensor's buffer."""
        ...


PlacesT = TypeVar("PlacesT", bound=Places)


@dataclass(frozen=True, slots=True)
class Memory(Generic[PlacesT]):
    """Where every tensor of a program lives."""

    layouts: PlacesT
    arena: Arena
    live_bytes: int
    """The most that is alive at one step: no arena of these layouts can be smaller."""


def plan_memory(program: IntegerProgram) -> Memory[Layouts]:
    """Return layouts and arena of ``program`` for kernels of CPUs."""
    return least_memory(program, choose_layouts)


def least_memory(
    program: IntegerProgram, choose: Callable[[IntegerProgram, Sequence[str]], PlacesT]
) -> Memory[PlacesT]:
    """Return layouts and arena of ``program``.

    ``choose`` lays out its tensors, the parts of the concatenations that it is given in buffers of their own.
    Concatenations are written in place but for those that reserve, long before all parts are there, what the arena
    has no room for: their parts are copied where that makes it smaller.
    """
    copied: list[str] = []
    best = _planned(program, choose(program, copied))
    for op in program.ops:
        if best.arena.size == best.live_bytes:
            break
        if isinstance(op, Concat):
            tried = _planned(program, choose(program, [*copied, op.name]))
            if tried.arena.size < best.arena.size:
                best, copied = tried, [*copied, op.name]
    return best


def _planned(program: IntegerProgram, layouts: PlacesT) -> Memory[PlacesT]:
    arena = plan_arena(lifetimes(program, layouts))
    return Memory(layouts, arena, live_bytes(program, layouts))


def alive(program: IntegerProgram) -> dict[str, Interval]:
    """Return when each tensor is alive; the input before the first step, the output after the last."""
    found: dict[str, Interval] = {program.input: (-1, -1)}
    for step, op in enumerate(program.ops):
        found |= dict.fromkeys(writes(op), (step, step))
        found |= {name: (found[name][0], step) for name in reads(op)}
    found[program.output] = (found[program.output][0], len(program.ops))
    return found


def lifetimes(program: IntegerProgram, layouts: Places) -> list[Lifetime]:
    """Return one lifetime per buffer: from the first tensor written to it to the last that is read from it."""
    spans: dict[str, Interval] = {}
    for name, (first, last) in alive(program).items():
        buffer = layouts.buffer[name]
        earliest, latest = spans.get(buffer, (first, last))
        spans[buffer] = (min(earliest, first), max(latest, last))
    return [
        Lifetime(name=name, size=layouts.of[name].size, first=first, last=last)
        for name, (first, last) in spans.items()
    ]


def live_bytes(program: IntegerProgram, layouts: Places) -> int:
    """Return the largest sum of tensors alive at one step, halos and padding of channels included.

    Tensors that stand in the same place count once; a part of a concatenation counts for its own channels and from
    its own step on, although the whole buffer is reserved by then.
    """
    found = alive(program)
    most = 0
    for step in range(-1, len(program.ops)):
        lanes: dict[str, set[int]] = defaultdict(set)
        for name, (first, last) in found.items():
            if first <= step <= last:
                lanes[layouts.buffer[name]].update(layouts.of[name].lanes)
        most = max(most, sum(layouts.of[name].share(len(on)) for name, on in lanes.items()))
    return most
