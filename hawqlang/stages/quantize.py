"""Scales, zero points and quantized weights: the float side of the arithmetic contract.

activation   x ≈ s·(q - z),  s = (high - low)/(2^b - 1),  z = clamp(round(q_min - low/s))
weight       q = clamp(round_half_even(w/s[c]), ±(2^(b-1) - 1))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, assert_never

import numpy as np
import numpy.typing as npt

from hawqlang.ir.graph import Graph
from hawqlang.ir.ranges import RangeTable
from hawqlang.ir.spec import Automatic, Ema, Entropy, GroupSize, MinMax, Mse, Percentile, Range
from hawqlang.stages.structure import Form, nonnegative

Floats = npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Scheme = Literal["affine", "symmetric"]

MSE_CANDIDATES = 80
"""Clipping ratios tried by the MSE search over weights, equally spaced in ``(MSE_SMALLEST, 1]``."""

MSE_SMALLEST = 0.2


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

    def real(self) -> Float64:
        """Return the real weights that the integers stand for."""
        return self.q * self.scale.reshape(-1, *[1] * (self.q.ndim - 1))


def weight_limit(bits: int) -> int:
    """Return the largest magnitude of a weight of ``bits`` bits: ``2^(bits-1) - 1``."""
    if not 2 <= bits <= 16:
        raise ValueError(f"weights of {bits} bits have no uniform levels")
    return 2 ** (bits - 1) - 1


def quantize_weight(
    weight: Floats,
    bits: int,
    *,
    granularity: Literal["per_channel", "per_tensor"] | GroupSize = "per_channel",
    method: Range | None = None,
    least: Float64 | float = 0.0,
) -> QuantizedWeight:
    """Return a weight quantized symmetrically, with one scale per output channel or one for all.

    A channel of zeros takes the largest scale of the others (1 where there is none), so that its
    bias keeps a sensible scale.

    Args:
        weight: ``(OC, …)`` real weights.
        bits: Width, 2 (ternary) to 16.
        granularity: One scale per output channel, or one per tensor (each channel then lists the
        same).
        method: How the clipping range is found; the largest magnitude by default.
        least: Smallest scale allowed, per channel or for all (see :func:`least_weight_scale`).
    """
    limit = weight_limit(bits)
    rows = np.asarray(weight, np.float64).reshape(weight.shape[0], -1)
    if not np.isfinite(rows).all():
        raise ValueError("weights are not finite")
    match granularity:
        case "per_channel":
            grouped = rows
        case "per_tensor":
            grouped = rows.reshape(1, -1)
        case GroupSize():
            raise ValueError("scales per group of input channels are not for this function")
        case _:
            assert_never(granularity)
    clip = _weight_clip(grouped, limit, MinMax() if method is None else method)
    scale = np.broadcast_to(clip / limit, (rows.shape[0],)).copy()
    alive = scale > 0
    scale[~alive] = scale.max() if alive.any() else 1.0
    scale = np.maximum(scale, least)
    q = np.clip(np.rint(rows / scale[:, None]), -limit, limit)
    q = q.reshape(weight.shape)
    return QuantizedWeight(q.astype(np.int8) if bits <= 8 else q.astype(np.int16), scale)


def least_weight_scale(bias: Floats, input_scale: float) -> Float64:
    """Return, per channel, the least weight scale that keeps the bias within 2^30.

    Matters only for channels whose weights have all but vanished (a pruned or dead batch norm)
    beside a live bias.
    """
    return np.abs(np.asarray(bias, np.float64)) / (input_scale * 2.0**30)


def _weight_clip(rows: Float64, limit: int, method: Range) -> Float64:
    """Return the magnitude that maps to ``limit``, for each row."""
    magnitude = np.abs(rows)
    match method:
        case MinMax():
            return magnitude.max(axis=1)
        case Percentile():
            return np.quantile(magnitude, float(method.p), axis=1, method="higher")
        case Mse():
            return _mse_clip(rows, magnitude.max(axis=1), limit)
        case Entropy() | Ema() | Automatic():
            raise ValueError(f"weights have no range method {method.kind}")
        case _:
            assert_never(method)


def _mse_clip(rows: Float64, largest: Float64, limit: int) -> Float64:
    """Return the clip of each row that minimises ``Σ(Q(w) - w)²``, by a search over ratios."""
    best = largest.copy()
    least = np.full(largest.shape, np.inf)
    for ratio in np.linspace(1.0, MSE_SMALLEST, MSE_CANDIDATES, endpoint=False):
        scale = np.where(largest > 0, largest * ratio / limit, 1.0)[:, None]
        error = np.square(np.clip(np.rint(rows / scale), -limit, limit) * scale - rows).sum(axis=1)
        better = error < least
        least = np.where(better, error, least)
        best = np.where(better, largest * ratio, best)
    return best
