"""How an operator's int32 value becomes a stored tensor: requantization with an optional second addend.

    y = clamp(zero_point + R(acc) + A, lo, hi)            R(v) = (int64(v)·m + 2^(s−1)) >> s

``A`` is 0, or ``R`` of a stored operand ``q − z`` with its own ``(m, s)``, or an int32 tensor
already at y's scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hawqlang.arith import dyadic, width
from hawqlang.base import Frozen, TensorRef
from hawqlang.ops.frame import Array, Frame, QTensor

INT32_MIN = width.INT32_MIN
INT32_MAX = width.INT32_MAX


class Addend(Frozen):
    """The second operand of a residual addition.

    ``multiplier`` and ``shift`` scale a stored operand: ``m < 2^22`` and ``1 <= s <= 30`` up to 8
    bits (one 32-bit multiply), ``m < 2^31`` and ``1 <= s <= 62`` beyond. An int32 partial sum is at
    y's scale already and has ``multiplier = 1``, ``shift = 0``, ``zero_point = 0``.
    """

    x: str
    zero_point: int
    multiplier: int
    shift: int


class Store(Frozen):
    """One stored result. A tensor whose readers want different widths has one ``Store`` per width."""

    output: str
    multiplier: TensorRef
    """int32 ``[n]``, ``0 <= m < 2^31``; ``n`` is the channels, or 1 (or window populations for
    average pooling)."""
    shift: TensorRef
    """uint8 ``[n]``, ``1 <= s <= 62``."""
    zero_point: int
    lo: int
    hi: int
    addend: Addend | None = None


def store_value(
    store: Store, acc: Array, scales: tuple[Array, Array], frame: Frame
) -> npt.NDArray[np.integer[Any]]:
    """Return the stored tensor of an int32 value.

    Args:
        store: Where and how.
        acc: ``(N, …, C)``.
        scales: Multipliers and shifts, each broadcast against ``acc``.
        frame: Holds the addend.
    """
    value = dyadic.apply(acc, *scales)
    if store.addend is not None:
        value += addend_value(store.addend, frame)
    value += store.zero_point
    return saturated(value, store.lo, store.hi, frame.tensors[store.output])


def store_all(stores: tuple[Store, ...], acc: Array, frame: Frame) -> dict[str, Array]:
    """Return every stored tensor of an int32 value whose multipliers and shifts stand per channel, or once."""
    return {
        store.output: store_value(
            store, acc, (frame.constant(store.multiplier), frame.constant(store.shift)), frame
        )
        for store in stores
    }


def addend_value(addend: Addend, frame: Frame) -> npt.NDArray[np.int64]:
    """Return the second operand at the result's scale."""
    value = frame.centred(addend.x, addend.zero_point)
    if addend.shift == 0:
        return value
    return dyadic.apply(value, addend.multiplier, addend.shift)


def saturated(value: Array, lo: int, hi: int, tensor: QTensor) -> Array:
    """Return ``value`` clamped to ``[lo, hi]`` in the tensor's storage type."""
    return width.saturate(value, lo, hi).astype(tensor.dtype)


def addend_problems(addend: Addend, tensors: dict[str, QTensor]) -> Iterator[str]:
    """Yield what is wrong with an addend."""
    x = tensors[addend.x]
    if addend.zero_point != x.zero_point:
        yield f"addend {x.name} has zero point {x.zero_point}, not {addend.zero_point}"
    if x.bits == 32 and addend.shift == 0:
        if addend.multiplier != 1:
            yield f"addend {x.name} is at the result's scale and has multiplier {addend.multiplier}"
        return
    narrow = x.bits <= dyadic.OPERAND_BITS
    digits = dyadic.OPERAND_MULTIPLIER_BITS if narrow else dyadic.MULTIPLIER_BITS
    most = dyadic.OPERAND_MAX_SHIFT if narrow else dyadic.MAX_SHIFT
    if not 0 <= addend.multiplier < 1 << digits:
        yield f"addend {x.name}: multiplier {addend.multiplier} is not in [0, 2^{digits})"
    elif not 1 <= addend.shift <= most:
        yield f"addend {x.name}: shift {addend.shift} is not in [1, {most}]"


def clamp_problems(output: QTensor, zero_point: int, lo: int, hi: int) -> Iterator[str]:
    """Yield what is wrong with a result's zero point and clamp."""
    low, high = output.range
    if zero_point != output.zero_point:
        yield f"{output.name} has zero point {output.zero_point}, not {zero_point}"
    if not low <= lo <= hi <= high:
        yield f"{output.name}: clamp [{lo}, {hi}] is not within [{low}, {high}]"


def dyadic_problems(multipliers: Array, shifts: Array, *, signed: bool = False) -> Iterator[str]:
    """Yield what is wrong with multipliers and shifts."""
    least = -dyadic.MULTIPLIER_LIMIT + 1 if signed else 0
    wide = multipliers.astype(np.int64)
    if multipliers.shape != shifts.shape or multipliers.ndim != 1:
        yield f"multipliers {multipliers.shape} and shifts {shifts.shape} differ in shape"
    if wide.size and not (least <= int(wide.min()) and int(wide.max()) < dyadic.MULTIPLIER_LIMIT):
        yield f"multiplier {wide.min()}..{wide.max()} is out of range"
    if shifts.size and not (int(shifts.min()) >= 1 and int(shifts.max()) <= dyadic.MAX_SHIFT):
        yield f"shift {shifts.min()}..{shifts.max()} is not in [1, 62]"


def store_problems(
    stores: tuple[Store, ...], counts: tuple[int, ...], frame: Frame
) -> Iterator[str]:
    """Yield what is wrong with stores whose multipliers must number one of ``counts``."""
    if not stores:
        yield "nothing is stored"
    for store in stores:
        multipliers, shifts = frame.constant(store.multiplier), frame.constant(store.shift)
        if multipliers.shape[0] not in counts:
            yield f"{store.output}: {multipliers.shape[0]} multipliers, not one of {counts}"
        yield from dyadic_problems(multipliers, shifts)
        yield from clamp_problems(frame.tensors[store.output], store.zero_point, store.lo, store.hi)
        if store.addend is not None:
            yield from addend_problems(store.addend, dict(frame.tensors))
