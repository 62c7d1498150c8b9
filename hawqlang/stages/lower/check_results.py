"""What an operator computes after its accumulator stays within int32 too: rescaled values, sums, affine maps.

For ``s >= 31`` a rescaled accumulator cannot leave int32; the bound is computed for every shift all the same, for the
second addend and the zero point come on top.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np

from hawqlang.arith import dyadic
from hawqlang.arith.width import INT32_MAX
from hawqlang.ir.integer import Bound
from hawqlang.ops import (
    Add,
    Addend,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Linear,
    MaxPool2d,
    Op,
    Pad,
    Reshape,
    Slice,
    Store,
)
from hawqlang.stages.lower.check_accumulators import proven
from hawqlang.stages.lower.draft import Draft, Int64
from hawqlang.stages.lower.errors import result_overflow

Reach = dict[str, int]
"""Largest ``|q - z|`` of every tensor, by name."""


@dataclass(frozen=True, slots=True)
class _Proof:
    """An operator's bound, and the largest ``|q - z|`` of what it writes."""

    bound: Bound | None
    reach: Mapping[str, int]


def check_results(draft: Draft) -> Draft:
    """Return the draft with the bounds of every operator that computes, or raise HQ601 or HQ606."""
    reach: Reach = {draft.names[draft.pixels]: 255}
    bounds: list[Bound] = []
    for op in draft.ops:
        proof = _prove(draft, op, reach)
        reach |= proof.reach
        if proof.bound is not None:
            bounds.append(proof.bound)
    return replace(draft, bounds=tuple(bounds))


def _prove(draft: Draft, op: Op, reach: Reach) -> _Proof:
    match op:
        case Conv2d() | Linear():
            proof = _stored(draft, op, draft.layers[op.name].bound, reach)
        case AvgPool2d():
            sums = np.full(len(op.populations), math.prod(op.kernel) * reach[op.x], np.int64)
            proof = _stored(draft, op, sums, reach)
        case Add():
            proof = _added(op, reach)
        case Affine():
            proof = _mapped(draft, op)
        case Concat():
            proof = _Proof(None, {op.output: max(reach[x] for x in op.inputs)})
        case MaxPool2d() | Pad() | Slice() | Reshape():
            proof = _Proof(None, {op.output: reach[op.x]})
        case _:
            assert_never(op)
    return proof


def _stored(draft: Draft, op: Conv2d | Linear | AvgPool2d, acc: Int64, reach: Reach) -> _Proof:
    bound = proven(op.name, acc, "int32")
    return _Proof(bound, {s.output: _store_reach(draft, op.name, s, acc, reach) for s in op.stores})


def _store_reach(draft: Draft, name: str, store: Store, acc: Int64, reach: Reach) -> int:
    """Return the largest ``|q - z|`` of a store; raise HQ606 where it is not within int32 before the clamp."""
    get = draft.request.store.get
    m, s = get(store.multiplier), get(store.shift)
    ends = (dyadic.apply(acc, m, s), dyadic.apply(-acc, m, s))
    total = max(int(np.abs(end).max()) for end in ends)
    if store.addend is not None:
        total += _addend_reach(store.addend, reach)
    _fits(name, store.output, total + abs(store.zero_point))
    return min(total, _clamped(store.lo, store.hi, store.zero_point))


def _addend_reach(addend: Addend, reach: Reach) -> int:
    if addend.shift == 0:
        return reach[addend.x]
    return dyadic.result_bound(reach[addend.x], addend.multiplier, addend.shift)


def _added(op: Add, reach: Reach) -> _Proof:
    worst = 0
    found: dict[str, int] = {}
    for store in op.stores:
        total = _addend_reach(store.a, reach) + _addend_reach(store.b, reach)
        whole = total + abs(store.zero_point)
        _fits(op.name, store.output, whole)
        worst = max(worst, whole)
        found[store.output] = min(total, _clamped(store.lo, store.hi, store.zero_point))
    return _Proof(Bound(op=op.name, channel=0, largest=worst, limit=INT32_MAX), found)


def _mapped(draft: Draft, op: Affine) -> _Proof:
    get = draft.request.store.get
    tensor = draft.params(next(slot for slot, name in draft.names.items() if name == op.x))
    m, add = get(op.multiplier).astype(np.int64), get(op.add)
    s = get(op.shift).astype(np.int64)
    ends = [np.right_shift(q * m + add, s) for q in (tensor.qmin, tensor.qmax)]
    results = np.maximum(*(np.abs(end) for end in ends)) + abs(op.zero_point)
    channel = int(results.argmax())
    worst = int(results[channel])
    _fits(op.name, op.output, worst)
    bound = Bound(op=op.name, channel=channel, largest=worst, limit=INT32_MAX)
    return _Proof(bound, {op.output: _clamped(op.lo, op.hi, op.zero_point)})


def _clamped(lo: int, hi: int, zero_point: int) -> int:
    return max(hi - zero_point, zero_point - lo)


def _fits(name: str, tensor: str, bound: int) -> None:
    if bound > INT32_MAX:
        raise result_overflow(name, tensor, bound, INT32_MAX)
