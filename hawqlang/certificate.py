"""Proof that no integer of a program overflows, computed from the program and its constants alone.

For every accumulator, over all inputs and all orders of partial sums: ``|bias| + Σ|q_w|·max|q_x| <= 2^31 − 1``. What
is computed after it, a rescaled value with a second addend and a zero point on top, stays within int32 as well. The
compiler records these bounds in the program; verification computes them again. Products that are summed in 16 or 24
bits have a bound of their own, without the bias, which is added after widening.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import numpy.typing as npt

from hawqlang.arith import dyadic
from hawqlang.arith.width import INT32_MAX, LIMITS, IntArray, accumulator_bound
from hawqlang.cache import TensorStore
from hawqlang.ir.integer import Bound, IntegerProgram
from hawqlang.ops import (
    Add,
    Addend,
    AddStore,
    Affine,
    AvgPool2d,
    Concat,
    Conv2d,
    Frame,
    Linear,
    MaxPool2d,
    Multiply,
    Op,
    Pad,
    Rearrange,
    Resample,
    Reshape,
    Slice,
    Store,
    Table,
    Take,
)

INT64_MAX = 2**63 - 1
Int64 = npt.NDArray[np.int64]
Reach = Mapping[str, int]
"""Largest ``|q − z|`` of every tensor, by name."""


class UnprovenError(ArithmeticError):
    """A value of a program that may not fit int32, or its accumulator."""

    def __init__(self, op: str, what: str, bound: int, limit: int = INT32_MAX) -> None:
        super().__init__(f"{what} of '{op}' can reach {bound}")
        self.op = op
        self.what = what
        """``accumulator``, or the name of the tensor whose value before the clamp does not fit."""
        self.bound = bound
        self.limit = limit


@dataclass(frozen=True, slots=True)
class _Proof:
    """An operator's bound, and the largest ``|q − z|`` of what it writes."""

    bound: Bound | None
    reach: Reach


def certificate(program: IntegerProgram, store: TensorStore) -> tuple[Bound, ...]:
    """Return the bound of every operator that computes, in program order.

    A layer with an accumulator of less than 32 bits has a second one: of its products alone.

    Args:
        program: a well-formed program; the bounds it carries are not looked at.
        store: holds its constants.

    Raises:
        UnprovenError: a value may leave int32, or products their narrower accumulator.
    """
    frame = Frame({}, {tensor.name: tensor for tensor in program.tensors}, store.get)
    reach: dict[str, int] = {program.input: 255}
    bounds: list[Bound] = []
    for op in program.ops:
        proof = _prove(frame, op, reach)
        reach |= proof.reach
        if proof.bound is not None:
            bounds += [proof.bound, *_narrow(frame, op)]
    return tuple(bounds)


def _prove(frame: Frame, op: Op, reach: Reach) -> _Proof:
    match op:
        case Conv2d() | Linear():
            proof = _stored(frame, op, _sums(frame, op), reach)
        case AvgPool2d():
            window = math.prod(op.kernel) * reach[op.x]
            proof = _stored(frame, op, np.full(len(op.populations), window, np.int64), reach)
        case Add():
            proof = _added(op, reach)
        case Affine():
            proof = _mapped(frame, op)
        case Concat():
            proof = _Proof(None, {op.output: max(reach[x] for x in op.inputs)})
        case Multiply():
            proof = _stored(frame, op, np.array([reach[op.a] * reach[op.b]]), reach)
        case Resample():
            proof = _stored(frame, op, np.array([reach[op.x] << 2 * op.bits]), reach)
        case Table():
            zero = frame.tensors[op.output].zero_point
            entries = frame.constant(op.table).astype(np.int64)
            proof = _Proof(None, {op.output: int(np.abs(entries - zero).max())})
        case MaxPool2d() | Pad() | Slice() | Reshape() | Rearrange() | Take():
            proof = _Proof(None, {op.output: reach[op.x]})
        case _:
            assert_never(op)
    return proof


def _sums(frame: Frame, op: Conv2d | Linear) -> Int64:
    """Return per channel the largest ``|acc|``, bias included."""
    x = frame.tensors[op.x]
    return accumulator_bound(
        _weights(frame, op), x.bits, signed=x.signed, bias=frame.constant(op.bias)
    )


def _weights(frame: Frame, op: Conv2d | Linear) -> IntArray:
    return frame.weights(op.weight, op.weight_bits, op.weight_shape, op.terms)


def _narrow(frame: Frame, op: Op) -> tuple[Bound, ...]:
    """Return the proof that a layer's products fit an accumulator of less than 32 bits, where it has one."""
    if not isinstance(op, Conv2d | Linear) or op.accumulator == "int32":
        return ()
    x = frame.tensors[op.x]
    sums = accumulator_bound(_weights(frame, op), x.bits, signed=x.signed)
    channel = int(sums.argmax())
    worst, limit = int(sums[channel]), LIMITS[op.accumulator]
    if worst > limit:
        raise UnprovenError(op.name, f"{op.accumulator} accumulator", worst, limit)
    return (Bound(op=op.name, channel=channel, largest=worst, limit=limit),)


def _stored(
    frame: Frame,
    op: Conv2d | Linear | AvgPool2d | Multiply | Resample,
    acc: Int64,
    reach: Reach,
) -> _Proof:
    channel = int(acc.argmax())
    worst = int(acc[channel])
    if worst > INT32_MAX:
        raise UnprovenError(op.name, "accumulator", worst)
    bound = Bound(op=op.name, channel=channel, largest=worst, limit=INT32_MAX)
    return _Proof(bound, {s.output: _store_reach(frame, op.name, s, acc, reach) for s in op.stores})


def _store_reach(frame: Frame, name: str, store: Store, acc: Int64, reach: Reach) -> int:
    """Return the largest ``|q − z|`` of a store whose value is within int32 before the clamp."""
    m, s = frame.constant(store.multiplier), frame.constant(store.shift)
    ends = (dyadic.apply(acc, m, s), dyadic.apply(-acc, m, s))
    total = max(int(np.abs(end).max()) for end in ends)
    if store.addend is not None:
        total += _addend_reach(store.addend, reach)
    _fits(name, store.output, total + abs(store.zero_point))
    return _clamped(total, store)


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
        found[store.output] = _clamped(total, store)
    return _Proof(Bound(op=op.name, channel=0, largest=worst, limit=INT32_MAX), found)


def _mapped(frame: Frame, op: Affine) -> _Proof:
    x = frame.tensors[op.x].range
    rows = zip(
        *(frame.constant(ref).tolist() for ref in (op.multiplier, op.add, op.shift)), strict=True
    )
    results: list[int] = []
    for m, add, s in rows:
        sums = [int(q) * int(m) + int(add) for q in x]
        if max(abs(total) for total in sums) > INT64_MAX:
            raise UnprovenError(op.name, "64-bit sum", max(abs(total) for total in sums))
        results.append(max(abs(total >> int(s)) for total in sums) + abs(op.zero_point))
    worst = max(results)
    _fits(op.name, op.output, worst)
    bound = Bound(op=op.name, channel=results.index(worst), largest=worst, limit=INT32_MAX)
    return _Proof(bound, {op.output: _clamped(worst + abs(op.zero_point), op)})


def _clamped(reach: int, store: Store | AddStore | Affine) -> int:
    """Return the largest ``|q − z|`` after the clamp of a value that reaches ``z ± reach`` before it.

    A clamp that excludes the zero point lifts even a value of 0 to its nearer end.
    """
    above, below = store.hi - store.zero_point, store.zero_point - store.lo
    return min(max(reach, -above, -below), max(above, below))


def _fits(name: str, tensor: str, bound: int) -> None:
    if bound > INT32_MAX:
        raise UnprovenError(name, tensor, bound)
