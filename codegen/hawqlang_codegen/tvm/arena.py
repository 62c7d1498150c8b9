"""Activation memory planned by lifetime: buffers that are never alive together share bytes.

Placement is first fit in order of falling size (Pisarchyk and Lee, arXiv 2001.03288, "greedy by size"), and the lower
bound is the largest set of buffers alive at one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hawqlang_codegen.tvm.layout import ALIGNMENT


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
    placed: list[tuple[int, Lifetime]] = []
    for buffer in sorted(lifetimes, key=lambda b: (-b.size, b.first, b.name)):
        start = 0
        for offset, other in sorted(placed, key=lambda p: p[0]):
            if not buffer.meets(other):
                continue
            if offset - start >= buffer.size:
                break
            start = max(start, offset + other.size)
        placed.append((start, buffer))
    steps = {buffer.first for buffer in lifetimes}
    alive = (sum(b.size for b in lifetimes if b.first <= step <= b.last) for step in steps)
    return Arena(
        offset={buffer.name: offset for offset, buffer in placed},
        size=max((offset + b.size for offset, b in placed), default=ALIGNMENT),
        lower_bound=max(alive, default=0),
    )
