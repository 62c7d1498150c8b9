"""Per-channel affine maps between integer tensors: the input's normalisation and batch norm that could not fold.

    y = a[c]·x + b[c]      q_y = z_y + ((q_x·m[c] + add[c]) >> s[c])
    m/2^s ~ a·s_x/s_y      add = round(b/s_y·2^s) - m·z_x + 2^(s-1)

``s`` is as large as keeps ``m`` in 31 bits and every sum below 2^62.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hawqlang.arith import dyadic
from hawqlang.arith.width import INT32_MAX
from hawqlang.ir.graph import BatchNorm
from hawqlang.ir.spec import ImageInput
from hawqlang.stages.lower.draft import Draft, Order, scale_of
from hawqlang.stages.lower.entry import entry_params
from hawqlang.stages.lower.errors import not_finite, result_overflow
from hawqlang.stages.quantize import QuantParams

SUM_BITS = 60
"""The offset stays below 2^60 and ``|q·m|`` below 2^39, so their sum is far from the end of int64."""


@dataclass(frozen=True, slots=True)
class RealMap:
    """``y = slope[c]·x + offset[c]`` in real numbers, channels in stored order; one entry serves all channels."""

    x: QuantParams
    slope: tuple[Fraction, ...]
    offset: tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class IntegerMap:
    """The numbers of an ``Affine``, one per channel, or one for all."""

    multiplier: npt.NDArray[np.int32]
    shift: npt.NDArray[np.uint8]
    add: npt.NDArray[np.int64]


def input_map(draft: Draft) -> RealMap:
    """Return the map from the program's uint8 input to the real numbers the network sees."""
    source = draft.request.settings.input
    entry = entry_params(source)
    if not isinstance(source, ImageInput):
        return RealMap(entry, (Fraction(1),), (Fraction(0),))
    slope = tuple(source.scale / std for std in source.std)
    offset = tuple(-mean / std for mean, std in zip(source.mean, source.std, strict=True))
    order = draft.orders.get(draft.request.graph.input.name)
    return RealMap(entry, _stored(slope, order), _stored(offset, order))


def batch_norm_map(draft: Draft, node: BatchNorm, x: QuantParams) -> RealMap:
    """Return batch norm in inference form as a map: ``a = gamma / sqrt(var + epsilon)``, ``b = beta - a·mean``."""
    request = draft.request
    mean, variance = request.parameter(node.mean), request.parameter(node.var)
    gamma = np.ones_like(mean) if node.gamma is None else request.parameter(node.gamma)
    beta = np.zeros_like(mean) if node.beta is None else request.parameter(node.beta)
    with np.errstate(all="ignore"):
        slope = gamma / np.sqrt(variance + node.epsilon)
        offset = beta - slope * mean
    if not (np.isfinite(slope).all() and np.isfinite(offset).all()):
        raise not_finite(node.name)
    order = draft.orders.get(node.output)
    return RealMap(
        x,
        _stored([Fraction(float(a)) for a in slope], order),
        _stored([Fraction(float(b)) for b in offset], order),
    )


def _stored(values: Sequence[Fraction], order: Order | None) -> tuple[Fraction, ...]:
    return tuple(values) if order is None else tuple(values[i] for i in order)


def integer_map(name: str, real: RealMap, y: QuantParams) -> IntegerMap:
    """Return the integers of a map whose result is stored as ``y``."""
    rows = [
        _row(name, slope * scale_of(real.x) / scale_of(y), offset / scale_of(y), real.x.zero_point)
        for slope, offset in zip(real.slope, real.offset, strict=True)
    ]
    multipliers, shifts, adds = zip(*rows, strict=True)
    return IntegerMap(
        np.array(multipliers, np.int32), np.array(shifts, np.uint8), np.array(adds, np.int64)
    )


def _row(name: str, ratio: Fraction, offset: Fraction, zero_point: int) -> tuple[int, int, int]:
    whole = int(abs(offset))
    if whole > INT32_MAX:
        raise result_overflow(name, name, whole, INT32_MAX)
    chosen = dyadic.choose(ratio, max_shift=SUM_BITS - whole.bit_length())
    m, s = chosen.multiplier, chosen.shift
    return m, s, round(offset * (1 << s)) - m * zero_point + (1 << (s - 1))


def is_identity(numbers: IntegerMap, x: QuantParams, y: QuantParams) -> bool:
    """Return whether a map leaves every code as it is, in the same type."""
    if (x.qmin, x.qmax, x.zero_point) != (y.qmin, y.qmax, y.zero_point):
        return False
    codes = np.arange(x.qmin, x.qmax + 1, dtype=np.int64)[:, np.newaxis]
    products = codes * numbers.multiplier.astype(np.int64) + numbers.add
    mapped = y.zero_point + np.right_shift(products, numbers.shift.astype(np.int64))
    return bool((mapped == codes).all())
