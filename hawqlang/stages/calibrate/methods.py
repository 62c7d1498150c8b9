"""From what was observed of a tensor to the range it is quantized in: one function per method."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import numpy as np

from hawqlang.ir.spec import Automatic, Ema, Entropy, MinMax, Mse, Percentile, Range
from hawqlang.stages.calibrate.observed import Float64, Interval, Observed, Segments
from hawqlang.stages.quantize import QuantParams, Scheme, quant_params

MSE_OCTAVES = 10
"""The MSE search looks down to 2^-10 of the largest magnitude on each side."""

MSE_STEPS = 8
"""Candidates per octave, before refinement between the best one's neighbours."""

MSE_ROUNDS = 4
"""Alternations between the two ends of a signed affine range."""

ENTROPY_BINS = 2048


def choose_range(
    observed: Observed, method: Range, bits: int, *, nonnegative: bool, scheme: Scheme
) -> Interval:
    """Return ``(low, high)`` with ``low <= 0 <= high`` for one tensor, width and method.

    Args:
        observed: What calibration saw of the tensor.
        method: How the range is chosen.
        bits: Width of the stored tensor; only MSE and entropy depend on it.
        nonnegative: Whether the tensor is stored unsigned; ``low`` is then 0.
        scheme: Affine or symmetric; MSE weighs the grid that will be used.
    """
    match method:
        case MinMax():
            low, high = observed.low, observed.high
        case Percentile():
            low, high = percentile_range(observed, float(method.p))
        case Mse():
            low, high = mse_range(observed, bits, nonnegative=nonnegative, scheme=scheme)
        case Entropy():
            low, high = entropy_range(observed, bits, nonnegative=nonnegative)
        case Ema():
            low, high = observed.ema[float(method.momentum)]
        case Automatic():
            own = method.at(bits)
            return choose_range(observed, own, bits, nonnegative=nonnegative, scheme=scheme)
        case _:
            assert_never(method)
    low, high = (0.0 if nonnegative else min(low, 0.0)), max(high, 0.0)
    return (low, high) if high > low else (observed.low, observed.high)


# ---- percentile ----------------------------------------------------------------------------------


def percentile_range(observed: Observed, p: float) -> Interval:
    """Return the quantiles ``1 - p`` and ``p`` of all values seen, zeros included.

    Inside a bin values are taken as evenly spread, so a bound is off by less than 0.4 % of itself.
    """
    if p >= 1:
        return observed.low, observed.high
    return quantile(observed.segments(), 1 - p), quantile(observed.segments(), p)


def quantile(segments: Segments, p: float) -> float:
    """Return the value below which the share ``p`` of the mass lies."""
    below = int(np.searchsorted(segments.right, 0.0, side="right"))
    count = np.insert(segments.count, below, segments.zeros)
    left = np.insert(segments.left, below, 0.0)
    right = np.insert(segments.right, below, 0.0)
    reached: Float64 = np.cumsum(count)
    rank = float(p * reached[-1])
    k = min(int(np.searchsorted(reached, rank)), len(count) - 1)
    before = reached[k] - count[k]
    share = (rank - before) / count[k] if count[k] > 0 else 0.0
    return float(left[k] + share * (right[k] - left[k]))


# ---- mean squared error --------------------------------------------------------------------------


def quantization_error(segments: Segments, params: QuantParams) -> float:
    """Return the mean squared error of storing the distribution with ``params``.

    Exact for mass spread evenly inside each segment: with ``t = x/s`` the squared distance to the
    nearest level integrates to ``r/12 + (t - r)^3/3``, ``r`` the level nearest to ``t``.
    """
    least, most = (end - params.zero_point for end in (params.qmin, params.qmax))

    def integral(t: Float64) -> Float64:
        level = np.clip(np.floor(t + 0.5), least, most)
        return level / 12 + (t - level) ** 3 / 3

    left, right = segments.left / params.scale, segments.right / params.scale
    width = right - left
    point = np.square(left - np.clip(np.floor(left + 0.5), least, most))
    spread = (integral(right) - integral(left)) / np.where(width > 0, width, 1.0)
    error = np.where(width > 0, spread, point) * segments.count
    return float(error.sum() / (segments.count.sum() + segments.zeros)) * params.scale**2


def mse_range(observed: Observed, bits: int, *, nonnegative: bool, scheme: Scheme) -> Interval:
    """Return the range of least mean squared quantization error.

    A geometric grid over both ends together, then over each end alone in turn, each followed by a
    linear one between the best candidate's neighbours.
    """
    segments = observed.segments()

    def loss(low: float, high: float) -> float:
        params = quant_params(low, high, bits, nonnegative=nonnegative, scheme=scheme)
        return quantization_error(segments, params)

    low, high = (0.0 if nonnegative else observed.low), observed.high
    ratio = _best_ratio(lambda r: loss(low * r, high * r))
    low, high = low * ratio, high * ratio
    if nonnegative or scheme == "symmetric" or low == 0 or high == 0:
        return low, high
    for _ in range(MSE_ROUNDS):
        before = (low, high)
        fixed_low = low
        high = observed.high * _best_ratio(lambda r, a=fixed_low: loss(a, observed.high * r))
        fixed_high = high
        low = observed.low * _best_ratio(lambda r, b=fixed_high: loss(observed.low * r, b))
        if (low, high) == before:
            break
    return low, high


def _best_ratio(loss: Callable[[float], float]) -> float:
    """Return the ratio in ``[2^-MSE_OCTAVES, 1]`` of least loss; of equal ones the largest."""
    step = 2.0 ** (1 / MSE_STEPS)
    best = min((step**-k for k in range(MSE_OCTAVES * MSE_STEPS + 1)), key=loss)
    top, bottom = min(best * step, 1.0), best / step
    fine = (top + (bottom - top) * k / (4 * MSE_STEPS) for k in range(4 * MSE_STEPS + 1))
    return min(best, min(fine, key=loss), key=loss)


# ---- entropy -------------------------------------------------------------------------------------


def entropy_range(observed: Observed, bits: int, *, nonnegative: bool) -> Interval:
    """Return the clip of the magnitudes that loses least information (Kullback-Leibler divergence).

    The calibration of TensorRT: magnitudes in ``ENTROPY_BINS`` equal bins, zeros left out, clipped
    ones counted in the last; each candidate is compared with its copy in as many levels as the
    width has.
    """
    top = max(-observed.low, observed.high)
    levels = 2**bits if nonnegative else 2 ** (bits - 1)
    if levels >= ENTROPY_BINS or top == 0:
        return observed.low, observed.high
    mass = _equal_bins(observed.segments(), top)
    ends = range(levels, ENTROPY_BINS + 1, max(1, ENTROPY_BINS // 256))
    clip = min(ends, key=lambda k: _divergence(mass, k, levels)) / ENTROPY_BINS * top
    return max(observed.low, -clip), min(observed.high, clip)


def _equal_bins(segments: Segments, top: float) -> Float64:
    """Return the mass of the magnitudes in equal bins over ``[0, top]``."""
    edges = np.linspace(0, top, ENTROPY_BINS + 1)
    reached = np.zeros(ENTROPY_BINS + 1)
    for side in (segments.left >= 0, segments.left < 0):
        ends = np.abs(np.stack([segments.left[side], segments.right[side]], axis=1))
        order = np.argsort(ends.min(axis=1), kind="stable")
        after = np.cumsum(segments.count[side][order])
        below = np.stack([after - segments.count[side][order], after], axis=1)
        if after.size:
            reached += np.interp(edges, np.sort(ends[order], axis=1).ravel(), below.ravel())
    return np.diff(reached)


def _divergence(mass: Float64, end: int, levels: int) -> float:
    """Return ``KL(reference || copy)`` when magnitudes beyond bin ``end`` are clipped."""
    reference = mass[:end].copy()
    level = np.arange(end) * levels // end
    some = reference > 0
    spread = np.bincount(level, some, levels)
    merged = np.bincount(level, reference, levels) / np.maximum(spread, 1)
    copy = np.where(some, merged[level], 0.0)
    reference[-1] += mass[end:].sum()
    p, q = reference / reference.sum(), copy / max(copy.sum(), 1e-300)
    live = p > 0
    return float((p[live] * np.log(p[live] / np.maximum(q[live], 1e-12))).sum())
