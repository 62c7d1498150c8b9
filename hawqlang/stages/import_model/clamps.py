"""Merges neighbouring clamps and moves them up to the operator that computes what they clamp.

``min(max(·, low), high)`` is monotone and works on each element alone, so it commutes exactly with operators that only
select or move elements: max pool (padding never wins), flatten, slice, and zero padding where 0 lies inside the
clamp. An operator is passed only where the clamp is the sole reader of its output, and of the value above it.
"""

from __future__ import annotations

from math import inf
from typing import assert_never

from hawqlang.ir.graph import (
    Add,
    AvgPool2d,
    BatchNorm,
    Clamp,
    Concat,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Multiply,
    Operator,
    Pad,
    Rearrange,
    Resample,
    Slice,
    Table,
    Take,
)
from hawqlang.stages.import_model.draft import Draft
from hawqlang.stages.import_model.rewrite import Rewriter


def merge_clamps(draft: Draft) -> Draft:
    """Return the draft with each run of clamps made one, and clamps without bounds removed."""
    rewriter = Rewriter(draft)
    for node in rewriter:
        if not isinstance(node, Clamp):
            continue
        if node.low is None and node.high is None:
            rewriter.bypass(node)
            continue
        above = rewriter.producer(node.x)
        if isinstance(above, Clamp) and rewriter.read_once(node.x):
            low, high = _then(above, node)
            rewriter.replace(node, node.replace(low=low, high=high))
            rewriter.bypass(above)
    return rewriter.draft()


def hoist_clamps(draft: Draft) -> Draft:
    """Return the draft with clamps moved above the moves and max pools before them."""
    rewriter = Rewriter(draft)
    for node in rewriter:
        if isinstance(node, Clamp):
            _hoist(rewriter, node)
    return rewriter.draft()


def _hoist(rewriter: Rewriter, clamp: Clamp) -> None:
    while rewriter.read_once(clamp.x):
        above = _passable(clamp, rewriter.producer(clamp.x))
        if above is None or not rewriter.read_once(above.x):
            return
        rewriter.swap(above, clamp)
        clamp = clamp.replace(x=above.x)


def _passable(
    clamp: Clamp, above: Operator | None
) -> MaxPool2d | Flatten | Slice | Rearrange | Take | Pad | None:
    """Return the operator above where it commutes with the clamp."""
    match above:
        case MaxPool2d() | Flatten() | Slice() | Rearrange() | Take():
            return above
        case Pad():
            return above if (clamp.low or 0.0) <= 0.0 <= (clamp.high or 0.0) else None
        case (
            Conv2d()
            | Linear()
            | BatchNorm()
            | Clamp()
            | Add()
            | Concat()
            | AvgPool2d()
            | Table()
            | Multiply()
            | Resample()
            | None
        ):
            return None
        case _:
            assert_never(above)


def _then(first: Clamp, second: Clamp) -> tuple[float | None, float | None]:
    """Return the bounds of ``second`` after ``first``: the first's bounds, themselves clamped by the second."""

    def clamped(bound: float | None, default: float) -> float:
        value = default if bound is None else bound
        value = value if second.low is None else max(value, second.low)
        return value if second.high is None else min(value, second.high)

    low, high = clamped(first.low, -inf), clamped(first.high, inf)
    return (None if low == -inf else low, None if high == inf else high)
