"""Scales, zero points and quantized weights: the float side of the arithmetic contract.

activation   x ≈ s·(q - z),  s = (high - low)/(2^b - 1),  z = clamp(round(q_min - low/s))
weight       q = clamp(round_half_even(w/s[c]), ±(2^(b-1) - 1))
affine       w ≈ s[c]·(q - z[c]),  z as for activations, q signed
groups       w ≈ s[c]·k[c, g]·(q - z[c, g]),  1 <= k <= 255 an integer

Weights may be rounded stochastically instead: ``floor(w/s + u)`` with ``u`` uniform in [0, 1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hawqlang.arith.width import LIMITS
from hawqlang.base import Precision
from hawqlang.ir.candidates import LayerSettings
from hawqlang.ir.graph import Graph
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import GroupSize, MinMax, Range
from hawqlang.stages.structure import Form, nonnegative
from hawqlang.stages.weight_ranges import Ends, affine_grid, weight_range

Floats = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Scheme = Literal["affine", "symmetric"]

MOST_MULTIPLE = 255
"""A group's scale is at most this many times that of its channel: 8 bits."""

LARGEST_INTEGER = 2**15 - 1
"""What ``|q - z|·k`` stays within, so that kernels can hold it in 16 bits."""


@dataclass(frozen=True, slots=True)
class QuantParams:
    """How a tensor is stored: ``x ≈ scale · (q - zero_point)`` with ``qmin <= q <= qmax``."""

    scale: float
    zero_point: int
    qmin: int
    qmax: int
    signed: bool

    def quantize(self, x: Floats) -> Int64:
        """Return the integers of ``x``: ties go up, as requantization rounds, then saturation."""
        q = np.floor(np.asarray(x, np.float64) / self.scale + 0.5) + self.zero_point
        return np.clip(q, self.qmin, self.qmax).astype(np.int64)

    def dequantize(self, q: npt.NDArray[np.integer[Any]]) -> Float64:
        """Return the real values that the integers ``q`` stand for."""
        return (np.asarray(q, np.float64) - self.zero_point) * self.scale


def quant_params(
    low: float, high: float, bits: int, *, nonnegative: bool, scheme: Scheme
) -> QuantParams:
    """Return scale and zero point for a range, which is widened to include 0.

    Unsigned ``[0, 2^b - 1]`` where the tensor cannot be negative, else signed ``[-2^(b-1), 2^(b-1)
    - 1]``. The symmetric scheme has zero point 0. An empty range (a tensor that is 0 throughout)
    gets scale 1.

    Args:
        low: Smallest real value to represent.
        high: Largest real value to represent.
        bits: Width, 1 to 16.
        nonnegative: Whether the tensor's values are at least 0 by construction; ``low`` is then
        taken as 0.
        scheme: ``"affine"`` or ``"symmetric"``.
    """
    low, high = (0.0 if nonnegative else min(float(low), 0.0)), max(float(high), 0.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"range [{low}, {high}] is not finite")
    qmin, qmax = (0, 2**bits - 1) if nonnegative else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if scheme == "symmetric" or nonnegative:
        scale = max(-low, high) / max(qmax, 1)
        return QuantParams(scale if scale > 0 else 1.0, 0, qmin, qmax, not nonnegative)
    scale = (high - low) / (2**bits - 1)
    if not scale > 0:
        return QuantParams(1.0, 0, qmin, qmax, signed=True)
    zero_point = min(max(round(qmin - low / scale), qmin), qmax)
    return QuantParams(scale, zero_point, qmin, qmax, signed=True)


def stored_params(graph: Graph, table: RangeTable) -> dict[Form, QuantParams]:
    """Return how every form that ``table`` has a range for is stored.

    The graph's input counts as non-negative where its range says so, for that range is exact.
    """
    pixels = [row.low >= 0 for row in table.ranges if row.tensor == graph.input.name]
    positive = nonnegative(graph, input_nonnegative=all(pixels) and bool(pixels))
    return {
        Form(row.tensor, row.bits): quant_params(
            row.low,
            row.high,
            row.bits,
            nonnegative=row.tensor in positive,
            scheme=row.scheme or table.scheme,
        )
        for row in table.ranges
    }


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """Integers of a layer's weight and the scale of each output channel."""

    q: npt.NDArray[np.int8] | npt.NDArray[np.int16]
    """As the weight's shape; int8 up to 8 bits, else int16."""
    scale: Float64
    """``(OC,)``, equal throughout where the granularity is per tensor."""
    zero: Int64 | None = None
    """Zero points ``(OC, groups)``; ``None`` for a symmetric weight."""
    multiple: Int64 | None = None
    """``k``, the scale of each group in units of its channel's, ``(OC, groups)``; ``None`` without groups."""
    group: int = 0
    """Input channels per group, the last one may have fewer; 0 without groups."""

    def integers(self) -> npt.NDArray[np.integer[Any]]:
        """Return ``(q - z)·k``: the weight in whole steps of its channel's scale."""
        if self.zero is None and self.multiple is None:
            return self.q
        found = self.q.astype(np.int64)
        if self.zero is not None:
            found -= spread(self.zero, self.q.shape, self.group)
        if self.multiple is not None:
            found *= spread(self.multiple, self.q.shape, self.group)
        return found

    def real(self) -> Float64:
        """Return the real weights that the integers stand for."""
        return self.integers() * self.scale.reshape(-1, *[1] * (self.q.ndim - 1))


@dataclass(frozen=True, slots=True)
class WeightGrid:
    """How real weights meet their integers, beside granularity and range."""

    scheme: Scheme = "symmetric"
    """Affine weights have a zero point per scale."""
    draw: Float64 | None = None
    """Rounds stochastically, shaped like the weight (see :func:`draws`); ``None`` to nearest."""
    most_multiple: int = MOST_MULTIPLE
    """Largest scale of a group in units of its channel's."""


DEFAULT_GRID = WeightGrid()


def group_of(channels: int, size: int) -> npt.NDArray[np.int32]:
    """Return the group of each input channel, ``(channels,)``; all in one where ``size`` is 0."""
    index = np.arange(channels, dtype=np.int32)
    return index // size if size else np.zeros_like(index)


def spread(values: npt.NDArray[Any], shape: tuple[int, ...], size: int) -> npt.NDArray[Any]:
    """Return values per output channel and group ``(OC, groups)`` as they broadcast against a weight."""
    wide = values[:, group_of(shape[1], size)]
    return wide.reshape(*wide.shape, *[1] * (len(shape) - 2))


def weight_limit(bits: int) -> int:
    """Return the largest magnitude of a weight of ``bits`` bits: ``2^(bits-1) - 1``."""
    if not 2 <= bits <= 16:
        raise ValueError(f"weights of {bits} bits have no uniform levels")
    return 2 ** (bits - 1) - 1


def quantize_layer(
    weight: Floats, precision: Precision, settings: LayerSettings, least: Float64 | float = 0.0
) -> QuantizedWeight:
    """Return a layer's weight quantized as its settings say: the one place that reads them.

    The scales of groups are told apart as finely as 8 bits, integers of 16 bits and the accumulator
    allow; a bit less halves the largest possible sum.

    Args:
        weight: ``(OC, …)`` real weights in the model's layout.
        precision: Its bits, and those of what the layer reads.
        settings: Of the layer.
        least: Smallest scale allowed, per channel or for all (see :func:`least_weight_scale`).
    """
    how = settings.weights
    if precision.wbits == 1:
        return quantize_weight(weight, 1, least=least)
    stochastic = how.rounding == "stochastic"
    draw = draws(settings.layer, settings.seed, weight.shape) if stochastic else None
    limit = LIMITS[settings.accumulator] // 2**precision.abits
    widest = weight_limit(precision.wbits) * (2 if how.scheme == "affine" else 1) + 1
    multiple = max(min(MOST_MULTIPLE, LARGEST_INTEGER // widest), 1)
    while True:
        found = quantize_weight(
            weight,
            precision.wbits,
            granularity=how.granularity,
            method=how.range,
            least=least,
            grid=WeightGrid(how.scheme, draw, multiple),
        )
        sums = np.abs(found.integers().astype(np.int64)).reshape(weight.shape[0], -1).sum(axis=1)
        if found.multiple is None or multiple == 1 or int(sums.max()) <= limit:
            return found
        multiple //= 2


def draws(layer: str, seed: int, shape: tuple[int, ...]) -> Float64:
    """Return the uniform numbers in [0, 1) that round a layer's weight stochastically.

    They depend on the seed and the layer's name alone, not on other layers, their order or the bits.
    """
    key = hashlib.sha256(f"stochastic rounding\0{seed}\0{layer}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key, "little"))).random(shape)


def quantize_weight(
    weight: Floats,
    bits: int,
    *,
    granularity: Literal["per_channel", "per_tensor"] | GroupSize = "per_channel",
    method: Range | None = None,
    least: Float64 | float = 0.0,
    grid: WeightGrid = DEFAULT_GRID,
) -> QuantizedWeight:
    """Return a weight quantized with one scale per output channel, per group within it, or for all.

    A channel of zeros takes the largest scale of the others (1 where there is none), so that its
    bias keeps a sensible scale.

    Args:
        weight: ``(OC, IC, …)`` real weights.
        bits: Width, 2 (ternary where symmetric) to 16; 1 for signs and a scale per output channel,
            whatever the rest says.
        granularity: One scale per output channel, one per tensor (each channel then lists the
            same), or one per output channel and group of input channels, a multiple of the
            channel's. A group that holds all input channels is no group.
        method: How the clipping range is found; the extremes by default.
        least: Smallest scale allowed, per channel or for all (see :func:`least_weight_scale`).
        grid: Zero points, rounding, multiples; symmetric and to nearest by default.
    """
    real = np.asarray(weight, np.float64)
    if not np.isfinite(real).all():
        raise ValueError("weights are not finite")
    if bits == 1:
        return _binary(real, least)
    limit = weight_limit(bits)
    size = granularity.size if isinstance(granularity, GroupSize) else 0
    size = size if 0 < size < real.shape[1] else 0
    chosen = MinMax() if method is None else method

    def ranged(rows: Float64) -> Ends:
        return weight_range(rows, bits, chosen, grid.scheme)

    low, high = (
        _group_ranges(real, size, ranged)
        if size
        else _row_ranges(real, ranged, per_tensor=granularity == "per_tensor")
    )
    step = (high - low) / (2 * limit + (grid.scheme == "affine"))
    scale = step.max(axis=1) / (grid.most_multiple if size else 1)
    alive = scale > 0
    scale[~alive] = scale.max() if alive.any() else 1.0
    scale = np.maximum(scale, least)
    multiple = _multiples(step, scale, grid.most_multiple) if size else None
    own = scale[:, None] * np.asarray(1 if multiple is None else multiple, np.float64)
    whole = real / spread(own, real.shape, size)
    whole = np.rint(whole) if grid.draw is None else np.floor(whole + grid.draw)
    if grid.scheme == "symmetric":
        return QuantizedWeight(_stored(whole, -limit, limit), scale, None, multiple, size)
    zero = affine_grid(low, own, bits)
    q = _stored(whole + spread(zero, real.shape, size), -limit - 1, limit)
    return QuantizedWeight(q, scale, zero, multiple, size)


def _binary(real: Float64, least: Float64 | float) -> QuantizedWeight:
    """Return the signs, and the mean magnitude of each channel, which is the nearest such weight.

    Rastegari et al., "XNOR-Net" (2016), section 3.1.
    """
    scale = np.abs(real).reshape(len(real), -1).mean(axis=1)
    scale[scale == 0] = scale.max() if scale.any() else 1.0
    return QuantizedWeight(np.where(real < 0, -1, 1).astype(np.int8), np.maximum(scale, least))


def _stored(whole: Float64, low: int, high: int) -> npt.NDArray[np.int8] | npt.NDArray[np.int16]:
    """Return whole numbers clamped, in int8 where that holds the clamp's ends."""
    q = np.clip(whole, low, high)
    return q.astype(np.int8) if high < 2**7 else q.astype(np.int16)


def _row_ranges(real: Float64, ranged: Callable[[Float64], Ends], *, per_tensor: bool) -> Ends:
    """Return the ends of the range of every output channel, ``(OC, 1)`` each."""
    count = real.shape[0]
    low, high = ranged(real.reshape(1 if per_tensor else count, -1))
    return np.broadcast_to(low[:, None], (count, 1)), np.broadcast_to(high[:, None], (count, 1))


def _group_ranges(real: Float64, size: int, ranged: Callable[[Float64], Ends]) -> Ends:
    """Return the ends of the range of every output channel and group, ``(OC, groups)`` each."""
    count, depth = real.shape[:2]
    whole = depth // size * size
    low, high = ranged(real[:, :whole].reshape(count * (whole // size), -1))
    low, high = low.reshape(count, -1), high.reshape(count, -1)
    if whole == depth:
        return low, high
    least, most = ranged(real[:, whole:].reshape(count, -1))
    return np.column_stack([low, least]), np.column_stack([high, most])


def _multiples(step: Float64, scale: Float64, most: int) -> Int64:
    """Return the smallest whole multiples of a channel's scale that clip none of its groups further."""
    ratio = step / scale[:, None]
    return np.clip(np.ceil(ratio - 1e-9), 1, most).astype(np.int64)


def least_weight_scale(bias: Floats, input_scale: float) -> Float64:
    """Return, per channel, the least weight scale that keeps the bias within 2^30.

    Matters only for channels whose weights have all but vanished (a pruned or dead batch norm)
    beside a live bias.
    """
    return np.abs(np.asarray(bias, np.float64)) / (input_scale * 2.0**30)
