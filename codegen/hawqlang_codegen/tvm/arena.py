"""Activation memory planned by lifetime: buffers that are never alive together share bytes.

The arena cannot be smaller than the buffers alive at some step. Buffers are placed one by one, each into the smallest
gap that holds it (best fit) among those already placed and alive with it, in several orders: by falling size
(Pisarchyk and Lee, arXiv 2001.03288, "greedy by size"), by falling bytes times steps, and by the step with most alive.
Where none of them meets the bound, the order of the best is improved: the buffer that ends highest moves to the front,
over and over, which is how a good order is found by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hawqlang_codegen.tvm.layout import ALIGNMENT

ROUNDS = 400
"""Improvements tried at most; a round places every buffer once."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A buffer, alive from the step that writes it to the last step that reads it, both included."""

    name: str
    size: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Return whether both are alive at one step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Arena:
    """Offsets in bytes, aligned to 64."""

    offset: Mapping[str, int]
    size: int
    lower_bound: int


def plan_arena(lifetimes: Sequence[Lifetime]) -> Arena:
    """Return an offset for every buffer such that buffers alive together do not overlap."""
    pressure = {b.first: sum(o.size for o in lifetimes if o.meets(_at(b))) for b in lifetimes}
    bound = max(pressure.values(), default=0)
    beside = _neighbours(lifetimes)
    best: _Placement | None = None
    for key in _orders(pressure):
        found = _place(sorted(lifetimes, key=key), beside)
        if best is None or found.size < best.size:
            best = found
    if best is None:
        return Arena(offset={}, size=ALIGNMENT, lower_bound=0)
    if best.size > bound:
        best = _improved(best, beside, bound)
    return Arena(offset=best.offset, size=best.size, lower_bound=bound)


@dataclass(frozen=True, slots=True)
class _Placement:
    """Buffers in the order of their placing, and where each went."""

    order: Sequence[Lifetime]
    offset: dict[str, int]
    size: int


def _at(buffer: Lifetime) -> Lifetime:
    """Return the first step of a buffer as a buffer of nothing."""
    return Lifetime(buffer.name, 0, buffer.first, buffer.first)


def _neighbours(lifetimes: Sequence[Lifetime]) -> dict[str, list[Lifetime]]:
    return {b.name: [o for o in lifetimes if o is not b and b.meets(o)] for b in lifetimes}


def _orders(
    pressure: Mapping[int, int],
) -> tuple[Callable[[Lifetime], tuple[int, int, str]], ...]:
    """Return sort keys of orders that are often good; names make each a total order."""

    def crowd(buffer: Lifetime) -> int:
        return max(
            bytes_ for step, bytes_ in pressure.items() if buffer.first <= step <= buffer.last
        )

    return (
        lambda b: (-b.size, b.first, b.name),
        lambda b: (-b.size * (b.last - b.first + 1), b.first, b.name),
        lambda b: (-crowd(b), -b.size, b.name),
        lambda b: (b.first, -b.size, b.name),
        lambda b: (b.first - b.last, -b.size, b.name),
    )


def _place(order: Sequence[Lifetime], beside: Mapping[str, list[Lifetime]]) -> _Placement:
    """Return the placement of buffers one by one, each where it wastes the least."""
    offset: dict[str, int] = {}
    for buffer in order:
        taken = sorted(
            (offset[other.name], other.size)
            for other in beside[buffer.name]
            if other.name in offset
        )
        offset[buffer.name] = _best_gap(taken, buffer.size)
    size = max(offset[b.name] + b.size for b in order)
    return _Placement(order, offset, size)


def _best_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """Return the start of the smallest gap of at least ``size`` bytes; the end where there is none."""
    end = 0
    best: tuple[int, int] | None = None
    for start, length in taken:
        gap = start - end
        if gap >= size and (best is None or gap < best[0]):
            best = (gap, end)
        end = max(end, start + length)
    return end if best is None else best[1]


def _improved(best: _Placement, beside: Mapping[str, list[Lifetime]], bound: int) -> _Placement:
    """Return a placement no larger than ``best``, of the bound's size where one is found."""
    found, seen = best, {tuple(b.name for b in best.order)}
    for _ in range(ROUNDS):
        highest = max(found.order, key=lambda b: (found.offset[b.name] + b.size, b.name))
        for buffer in (highest, *beside[highest.name]):
            order = (buffer, *(b for b in found.order if b is not buffer))
            names = tuple(b.name for b in order)
            if names not in seen:
                break
        else:
            break
        seen.add(names)
        found = _place(order, beside)
        if found.size < best.size:
            best = found
        if best.size == bound:
            break
    return best
